"""What texts that name commands and variables say in the console: the page and the button instead.

Every text of the bridge that names one has an entry here, unless no page shows it or the environment sets what it names
(`tests/unit/test_console_wording.py` has these). An entry gets the facts of the text that it replaces.
"""

from __future__ import annotations

from bridge.messages import N_

_CHECK = N_("“Check everything” under Connections says more")
_CLINT_TOKEN = N_("make a token in Clint (its API needs the Elite plan) and enter it: Connections, Enter a token")
_NEW_TOKEN = N_("make a new token in Clint and enter it: Connections, Change token")
_KEY_PAGE = N_("give the account a new key from Asaas (Integrações, Chaves de API): Connections, Change key")
_NO_KEY = N_(
    "the account has no API key; make one in Asaas (Integrações, Chaves de API) and enter it under Connections; "
    "accounts with a key: {accounts}"
)
_REGISTER = N_("register the webhook: Connections, Webhook")
_RESUME = N_("resume sending on the webhook's page")
_URL = N_("copy the integration's URL from Clint and enter it under Connections: Change URL")
_SEE_LINT = N_("open the mapping under Mappings: it says what is wrong")
_EVENTS = N_("look at Events")

IN_CONSOLE: dict[str, str] = {
    # bridge/alerts
    "is a worker running, and does it reach Redis? see: bridge doctor": N_(
        "is a worker running, and does it reach Redis? “Check everything” under Connections says more"
    ),
    "nothing is lost, they go on by themselves; is Asaas up? see: bridge doctor": N_(
        "nothing is lost, they go on by themselves; “Check everything” under Connections says the cause"
    ),
    "see: bridge doctor": _CHECK,
    "copy a mapping with the line `account: {account}`, or switch one on; see: bridge mappings list": N_(
        "copy a mapping for the account under Mappings, or switch one of its mappings on"
    ),
    "correct the file, see: bridge mappings lint": _SEE_LINT,
    "fix its address; see: bridge alerts test": N_("fix the address under Alerts, then send a test"),
    "resume it when its deliveries may go on: bridge destinations resume {name}": N_(
        "resume it under Connections when its deliveries may go on"
    ),
    "see: bridge deliveries list --state dead --destination {name}; then retry, replay or discard them": N_(
        "see the reasons under Needs attention and decide"
    ),
    "the address leads to this machine or network, where nothing is sent; put it into BRIDGE_ALERT_URLS, or set "
    "BRIDGE_ALLOW_PRIVATE_DESTINATIONS=1": N_("the address leads to this machine or network, where nothing is sent"),
    # bridge/asaas
    "use a $aact_prod_ key with api.asaas.com and a $aact_hmlg_ key with the sandbox, and check ASAAS_API_URL": N_(
        "a $aact_prod_ key is for production, a $aact_hmlg_ key for the sandbox: Connections, Change key"
    ),
    "set the account's ASAAS_API_KEY in single quotes, or a shell takes $aact for a variable of its own": _KEY_PAGE,
    "make a new one in Asaas (Integrações, Chaves de API) and set the account's ASAAS_API_KEY": _KEY_PAGE,
    "check the key in Asaas (Integrações, Chaves de API) and ASAAS_API_KEY": _KEY_PAGE,
    "check this machine's way to the internet, and ASAAS_API_URL where it is set": N_(
        "check this machine's connection to the internet"
    ),
    "see: bridge webhook status": N_("see the webhook's page under Connections"),
    "run: bridge webhook register{account} --url PUBLIC_URL": _REGISTER,
    "run: bridge webhook register{account}": _REGISTER,
    "fix what answered other than 200 (see: bridge doctor), then run: bridge webhook resume{account}": N_(
        "fix what answered other than 200, then resume sending on the webhook's page"
    ),
    "check that the bridge answers 200, then run: bridge webhook resume{account}": N_(
        "check that the bridge answers 200, then resume sending on the webhook's page"
    ),
    "run: bridge webhook remove{account}, then: bridge webhook register{account} --url PUBLIC_URL": N_(
        "remove the webhook in Asaas (Integrações, Webhooks), then register it under Connections"
    ),
    "run: bridge webhook resume{account}": _RESUME,
    # bridge/clint
    "make a new token in Clint and run: bridge clint set-token; where CLINT_API_TOKEN is set, put it there and start "
    "the bridge again": _NEW_TOKEN,
    "check in Clint whether it was removed, and that CLINT_API_URL is right": N_(
        "check in Clint whether it was removed"
    ),
    # bridge/errors, bridge/journal
    "a text of the journal can't be opened with the keys of BRIDGE_ENCRYPTION_KEY": N_(
        "a text of the journal can't be opened with today's encryption key"
    ),
    "this needs BRIDGE_ENCRYPTION_KEY, which is not set: the journal keeps secrets only encrypted": N_(
        "this needs an encryption key, and none is set: secrets are stored only encrypted"
    ),
    "let BRIDGE_DATA_DIR or DATABASE_URL name a place that this user can write to": N_(
        "give the bridge a data directory that it can write to"
    ),
    "run: bridge up, which makes it; where web and worker run apart: bridge db upgrade": N_(
        "start the bridge again: it makes the database"
    ),
    "run: bridge db upgrade": N_("bring the database to this version on the server, then start the bridge again"),
    "the body of event {id} was emptied after BRIDGE_RETENTION_DAYS": N_("the contents of event {id} were erased"),
    # bridge/mapping
    "account {name} is not set up; set {setting}{hint}": N_(
        "account {name} is not connected; connect it under Connections{hint}"
    ),
    "account {name} is not set up; write {usable}, since a setting's name has no hyphen, and set {setting}{hint}": N_(
        "account {name} is not connected; write {usable}, since its name has no hyphen, and connect it under "
        "Connections{hint}"
    ),
    "destination {name} is not set up; set {setting}{hint}": N_(
        "destination {name} is not connected; connect it under Connections{hint}"
    ),
    "destination {name} is not set up; write {usable}, since a setting's name has no hyphen, and set "
    "{setting}{hint}": N_(
        "destination {name} is not connected; write {usable}, since its name has no hyphen, and connect it under "
        "Connections{hint}"
    ),
    "the directory is not there; run: bridge mappings init, or set BRIDGE_MAPPINGS_DIR": N_(
        "the directory of the mapping files is not there"
    ),
    "the directory can't be read; set BRIDGE_MAPPINGS_DIR, or check its permissions": N_(
        "the directory of the mapping files can't be read; check its permissions"
    ),
    # bridge/operations
    "account {account} has no API key; make one in Asaas (Integrações, Chaves de API) and run: bridge accounts add "
    "{account}; or name another account with --account; accounts with a key: {accounts}": _NO_KEY,
    "{variable} is not set; make a key in Asaas (Integrações, Chaves de API) and put it in single quotes, or "
    "name another account with --account; accounts with a key: {accounts}": _NO_KEY,
    "make one with `bridge db new-key`, set BRIDGE_ENCRYPTION_KEY for all processes and start them again": N_(
        "set an encryption key: Connections says how"
    ),
    "one of the environment is removed there; see: bridge accounts list": N_(
        "what the server's settings hold is removed there"
    ),
    "one of the environment is removed there; see: bridge destinations list": N_(
        "what the server's settings hold is removed there"
    ),
    "fix the file (see: bridge mappings lint), or put it back": _SEE_LINT,
    "make a token in Clint (its API needs the Elite plan) and run: bridge clint set-token; or set CLINT_API_TOKEN for "
    "all processes and start them again": _CLINT_TOKEN,
    "to write deals by it: bridge destinations add NAME --origin ORIGIN, or New destination on Connections": N_(
        "to write deals by it: Connections, New destination"
    ),
    "look at the fields in Clint and compare: bridge mappings checklist": N_(
        "look at the fields in Clint and compare them with the mapping's Clint checklist"
    ),
    "see: bridge deliveries list --state delivered, bridge events show NUMBER": N_(
        "open one of the events: it says what was found"
    ),
    "the door refused it: the token of Asaas's webhook is not the account's ASAAS_WEBHOOK_TOKEN": N_(
        "the door refused it: the token of Asaas's webhook is not the account's"
    ),
    "give both the same token; run: bridge webhook register --new-token, then start the bridge with it": N_(
        "register the webhook with a new token: Connections, Webhook"
    ),
    "fix the URL (run: bridge webhook register), or set the account's ASAAS_WEBHOOK_TOKEN": _REGISTER,
    "the door refused it: BRIDGE_WEBHOOK_ALLOWED_IPS does not have the address from which it came": N_(
        "the door refused it: it came from an address that is not allowed"
    ),
    "add the address that the log names; behind a proxy set BRIDGE_TRUSTED_PROXIES, or it is the proxy's": N_(
        "allow the address that the log names, in the server's settings"
    ),
    "see: bridge events list": _EVENTS,
    "look in Clint's Históricos, or give the bridge a token of Clint's API: bridge clint set-token": N_(
        "look in Clint's Históricos"
    ),
    "check that a worker runs (bridge up, or bridge worker), and see: bridge events show {event}": N_(
        "check that a worker runs, and open event {event}"
    ),
    "start the bridge (nothing answers at {url} either): bridge up, or bridge web": N_(
        "start the bridge: nothing answers at {url} either"
    ),
    "to send its event through today's mapping: bridge events replay {event}": N_(
        "to send its event through today's mapping, replay event {event}"
    ),
    "try again later; see: bridge events show": N_("try again later"),
    "see: bridge destinations list": N_("look at Connections"),
    "see: bridge destinations list; it goes on by itself once the destination is resumed": N_(
        "resume the destination under Connections; then it goes on by itself"
    ),
    "run: bridge destinations resume {destination}": N_("resume {destination} under Connections"),
    "see: bridge events show {number}": N_("look at event {number}"),
    "see: bridge deliveries list": _EVENTS,
    "write one (see: bridge mappings lint), or subscribe to every event with --all": N_("write one, or switch one on"),
    "give it with --url, such as https://bridge.example.com, or set BRIDGE_PUBLIC_URL": N_(
        "enter it, such as https://bridge.example.com"
    ),
    "check the account's ASAAS_API_KEY": _KEY_PAGE,
    "see: bridge reconcile; then bridge backfill --dry-run": N_(
        "see them under Reconciliation and bring them in there"
    ),
    # bridge/operations/doctor
    "nobody gets them: add a receiver (bridge alerts add), or set BRIDGE_ALERT_URLS": N_(
        "nobody gets them: choose who does under Alerts"
    ),
    "make a key in Asaas (Integrações, Chaves de API) and give it to the bridge: bridge accounts add {account}": (
        _KEY_PAGE
    ),
    "connect one: bridge accounts add NAME, or set ASAAS_API_KEY and ASAAS_WEBHOOK_TOKEN": N_(
        "connect one: Connections, Connect an Asaas account"
    ),
    "run: bridge webhook register, which makes one; put it into the environment": _REGISTER,
    "unset it and run: bridge webhook register --new-token": N_(
        "register the webhook with a new token: Connections, Webhook"
    ),
    "no password: it is closed except for the address that `bridge up` prints": N_(
        "no password: it opens only with the address that is printed when the bridge starts"
    ),
    "set BRIDGE_PASSWORD, 12 characters or more, or invite people: bridge users invite": N_(
        "invite yourself under People: then you sign in with a password of your own"
    ),
    "copy its URL from Clint (the origin's integrations, Receber Webhook) into {variable}, or run: bridge destinations "
    "add {destination}": N_(
        "copy its URL from Clint (the origin's integrations, Receber Webhook) and enter it under Connections"
    ),
    "run: bridge mappings lint": _SEE_LINT,
    "run: bridge mappings init": N_("add one: Mappings, New mapping"),
    "see: bridge mappings show": N_("switch a mapping on under Mappings"),
    "is the tunnel or the proxy up, and does it lead to this bridge's port? see: bridge webhook register --url": N_(
        "is the tunnel or the proxy up, and does it lead to this bridge's port? If the address changed, register the "
        "webhook again: Connections, Webhook"
    ),
    "start the bridge again with the environment of this command": N_(
        "register the webhook with a new token: Connections, Webhook"
    ),
    "start the bridge again with the environment of this command, or fix the address": N_(
        "register the webhook again with the right address: Connections, Webhook"
    ),
    "where nobody can intercept it, as with Heroku's own Redis, add ?ssl_cert_reqs=none to REDIS_URL": N_(
        "where nobody can intercept it, as with Heroku's own Redis, let its address end in ?ssl_cert_reqs=none"
    ),
    "give it memory, or name the primary in REDIS_URL; events are kept meanwhile, and delivered then": N_(
        "give it memory, or let its address lead to the primary; events are kept meanwhile, and delivered then"
    ),
    "start it, or fix REDIS_URL; events are kept meanwhile and delivered once it is back": N_(
        "start it, or fix its address in the server's settings; events are kept meanwhile and delivered once it is back"
    ),
    "to switch it on, make BRIDGE_ENCRYPTION_KEY with `bridge db new-key`": N_(
        "to switch it on, set an encryption key: Connections says how"
    ),
    "not yet: the first `bridge up` makes a key in {file}": N_("not yet: the first start makes a key in {file}"),
    "see what to make: bridge clint check, or Check Clint on Connections": N_(
        "see what to make: Connections, Check Clint"
    ),
    "is the database of DATABASE_URL up?": N_("is the database up?"),
    "none is named: `bridge up` starts its own, {version} ({program}); the other commands need REDIS_URL": N_(
        "none is named; its own would be {version} ({program})"
    ),
    "none is named, and `bridge up` finds none to start; the other commands need REDIS_URL": N_("none is named"),
    # bridge/pipeline
    "make a new key in Asaas (Integrações, Chaves de API), set the account's ASAAS_API_KEY and start the bridge "
    "again": _KEY_PAGE,
    # bridge/reasons
    "copy the integration's URL from Clint into the destination's variable and restart the bridge": _URL,
    "look at Históricos of the integration in Clint; see: bridge mappings checklist": N_(
        "look at Históricos of the integration in Clint, and at the mapping's Clint checklist"
    ),
    "the requests to Clint's API wait for their turn (CLINT_API_RATE_LIMIT)": N_(
        "the requests to Clint's API wait for their turn under the rate limit"
    ),
    "give the account a valid key of the right environment: bridge accounts add NAME; where the environment sets it "
    "up, set ASAAS_API_KEY (or that of the account) there and restart the bridge": N_(
        "give the account a valid key of the right environment: Connections, Change key"
    ),
    "run: bridge accounts add {account}": N_("give the account a key: Connections, Change key"),
    "give the account a key: bridge accounts add NAME; where the environment sets it up, set ASAAS_API_KEY (or that of "
    "the account) there and restart the bridge": N_("give the account a key: Connections, Change key"),
    "fix or remove it: bridge mappings lint": _SEE_LINT,
    "fix the URL; for a test on this machine set BRIDGE_ALLOW_PRIVATE_DESTINATIONS=1": N_(
        "enter another URL: Connections, Change URL"
    ),
    "set the origin again (CLINT_ORIGIN, or: bridge destinations add NAME --origin) and resume the destination": N_(
        "choose the origin again (Connections, Change origin), then resume the destination"
    ),
    "make a new token in Clint and run: bridge clint set-token; where CLINT_API_TOKEN is set, put it there, start the "
    "bridge again and resume the destination": _NEW_TOKEN,
    "set its CLINT_WEBHOOK_URL or CLINT_ORIGIN variable for the workers and restart them": N_(
        "connect the destination under Connections"
    ),
    "bridge destinations resume": N_("resume it under Connections"),
    "nothing; if it must be sent anyway: bridge deliveries retry": N_("nothing; if it must be sent anyway, retry it"),
    "look at Históricos in Clint; where the integration was moved: bridge destinations origin NAME": N_(
        "look at Históricos in Clint: the integration may belong to another origin now"
    ),
    "of a webhook: set the integration's status in Clint as bridge mappings checklist says": N_(
        "of a webhook: set the integration's status in Clint as the mapping's Clint checklist says"
    ),
    "name it: bridge destinations origin NAME ORIGIN_ID": N_("open the deals in Clint and see which one it is"),
    "compare what was sent with what is seen; fix the mapping, the field in Clint, or the integration's "
    "screen; see: bridge clint check, bridge mappings checklist": N_(
        "compare what was sent with what is seen; fix the mapping, the field in Clint, or the integration's screen"
    ),
    "look for the field in Clint: bridge clint check": N_("look for the field in Clint: Connections, Check Clint"),
}
"""By the text that it replaces, the text of the console."""
