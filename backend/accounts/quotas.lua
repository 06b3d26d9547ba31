-- Quotas of one caller. KEYS: jobs, then for each window its charges by time and their amounts.
-- ARGV: what to do, the time in ms (empty: the clock of Redis), the lease in ms, then per action.
-- The field '' of the amounts is their sum.

local action, lease_ms = ARGV[1], tonumber(ARGV[3])
local now = tonumber(ARGV[2])
if not now then
    local time = redis.call('TIME')
    now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local jobs = KEYS[1]
local windows = {
    {name = 'hour', ms = 3600000, times = KEYS[2], amounts = KEYS[3]},
    {name = 'day', ms = 86400000, times = KEYS[4], amounts = KEYS[5]},
}

local function sum(window)
    return tonumber(redis.call('HGET', window.amounts, '') or 0)
end

local function forget(window, job)
    local amount = redis.call('HGET', window.amounts, job)
    if amount then
        redis.call('HINCRBY', window.amounts, '', '-' .. amount)
        redis.call('HDEL', window.amounts, job)
        redis.call('ZREM', window.times, job)
    end
end

local function charge(window, job, amount)
    forget(window, job)
    redis.call('ZADD', window.times, now, job)
    redis.call('HSET', window.amounts, job, amount)
    redis.call('HINCRBY', window.amounts, '', amount)
    redis.call('PEXPIRE', window.times, window.ms)
    redis.call('PEXPIRE', window.amounts, window.ms)
end

local function lease(job)
    redis.call('ZADD', jobs, now + lease_ms, job)
    redis.call('PEXPIRE', jobs, lease_ms)
end

-- Milliseconds until the amount fits; 0 if it does now, -1 if it never will.
local function wait_for(window, amount, budget)
    local left = sum(window) + amount - budget
    if left <= 0 then return 0 end
    local charges = redis.call('ZRANGE', window.times, 0, -1, 'WITHSCORES')
    for i = 1, #charges, 2 do
        left = left - tonumber(redis.call('HGET', window.amounts, charges[i]))
        if left <= 0 then return charges[i + 1] + window.ms - now end
    end
    return -1
end

redis.call('ZREMRANGEBYSCORE', jobs, '-inf', now)
for _, window in ipairs(windows) do
    for _, job in ipairs(redis.call('ZRANGEBYSCORE', window.times, '-inf', now - window.ms)) do
        forget(window, job)
    end
end

if action == 'admit' then
    local job, amount, most = ARGV[4], ARGV[5], tonumber(ARGV[6])
    if most and redis.call('ZCARD', jobs) >= most then return {'jobs', -1} end
    for i, window in ipairs(windows) do
        window.budget = tonumber(ARGV[6 + i])
        local wait_ms = window.budget and wait_for(window, tonumber(amount), window.budget) or 0
        if wait_ms ~= 0 then return {window.name, wait_ms} end
    end
    lease(job)
    for _, window in ipairs(windows) do
        if window.budget then charge(window, job, amount) end
    end
    return {}
elseif action == 'end' then
    redis.call('ZREM', jobs, ARGV[4])
    if ARGV[5] == '1' then
        for _, window in ipairs(windows) do forget(window, ARGV[4]) end
    end
elseif action == 'hold' then
    for i = 4, #ARGV do lease(ARGV[i]) end
else
    local standing = {redis.call('ZCARD', jobs)}
    for _, window in ipairs(windows) do
        local oldest = redis.call('ZRANGE', window.times, 0, 0, 'WITHSCORES')[2]
        table.insert(standing, sum(window))
        table.insert(standing, oldest and oldest + window.ms - now or 0)
    end
    return standing
end
