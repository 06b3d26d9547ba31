#!/bin/sh
# A certificate for a first try: self-signed.sh FOLDER [NAME...]. Browsers will warn of it.
# Names are host names or addresses; localhost and 127.0.0.1 are always among them.
set -eu
folder=${1:?usage: self-signed.sh FOLDER [NAME...]}
shift
names="DNS:localhost,IP:127.0.0.1,IP:::1"
for name in "$@"; do
    case $name in
        *[!0-9.]*) names="$names,DNS:$name" ;;
        *) names="$names,IP:$name" ;;
    esac
done
mkdir -p "$folder"
if [ -e "$folder/privkey.pem" ]; then
    echo "$folder/privkey.pem is there already, and stays" >&2
    exit 0
fi
umask 077
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -days 365 \
    -subj "/CN=${1:-localhost}" -addext "subjectAltName=$names" \
    -keyout "$folder/privkey.pem" -out "$folder/fullchain.pem" 2>/dev/null
chmod 644 "$folder/fullchain.pem"
echo "made $folder/fullchain.pem for ${1:-localhost}"
