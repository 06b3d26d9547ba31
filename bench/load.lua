-- wrk's script: sends one request over and over, each time as the next of some callers.
-- Arguments: method, file of the body (or "-"), number of callers, then headers "Name: value".

local messages, turn = {}, 0

local function contents(path)
   if path == "-" then return nil end
   local file = assert(io.open(path, "rb"))
   local text = file:read("*a")
   file:close()
   return text
end

function init(args)
   local body, callers, headers = contents(args[2]), tonumber(args[3]), {}
   for place = 4, #args do
      local name, value = args[place]:match("^([^:]+): (.*)$")
      headers[name] = value
   end
   for caller = 0, callers - 1 do
      headers["X-Forwarded-For"] = string.format("10.0.%d.%d", caller / 250, caller % 250 + 1)
      messages[caller] = wrk.format(args[1], nil, headers, body)
   end
end

function request()
   turn = (turn + 1) % (#messages + 1)
   return messages[turn]
end

function done(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      'FIGURES {"requests": %d, "seconds": %f, "received_bytes": %d, "failed": %d, '
      .. '"p50_ms": %f, "p95_ms": %f, "p99_ms": %f, "worst_ms": %f}\n',
      summary.requests, summary.duration / 1e6, summary.bytes,
      errors.connect + errors.read + errors.write + errors.status + errors.timeout,
      latency:percentile(50) / 1e3, latency:percentile(95) / 1e3,
      latency:percentile(99) / 1e3, latency.max / 1e3))
end
