# Heroku runs this before each process. No authority signed the certificate of its own Redis, and it changes REDIS_URL by
# itself; the connection is still encrypted. See docs/hosting.md.
case "$REDIS_URL" in
*\?*) ;;
rediss://*@ec2-*.amazonaws.com:*) export REDIS_URL="$REDIS_URL?ssl_cert_reqs=none" ;;
esac
