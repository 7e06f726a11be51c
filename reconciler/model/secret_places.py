"""Where secrets stand in texts: in URLs, commands, and the files of the programs that people run. Pure; patterns only.

They are text, and compiled when the first text needs them: all take a while, and most plans need few.
"""

from __future__ import annotations

from typing import Final

from reconciler.model.secret_names import WORDS

MYSQL: Final = r"\b(?:mysql|mariadb)[\w-]*\b"
REDIS: Final = r"\b(?:redis|valkey|keydb)-cli\b"

_PLAIN: Final = r"[^\s\"'&;]+"
_QUOTED: Final = r"\"[^\"\\\n]*(?:\\[^\n][^\"\\\n]*)*\"|'[^'\n]*(?:''[^'\n]*)*'"
_REFERENCE: Final = (
    r"(?!(?-i:[\"']?(?:\${1,2}\{[A-Z_][A-Z0-9_]{0,80}\}|\${1,2}[A-Z_][A-Z0-9_]{2,80}"
    r"|\${1,2}\((?:cat[ \t]|<)[^()\n]{1,200}\)|\{\{[^{}\n]{1,200}\}\})[\"']?(?:[\s;,&)|}]|\Z)))"
)
"""Before a value: not one that only says where the secret is. ${DB_PASSWORD}, $(cat FILE), {{ secret "db" }}."""
_STANDS: Final = r"\(sensitive value[^)\n]{0,40}\)"
"""What was hidden before, with the blanks in it."""
_PREFIX: Final = r"(?:(?-i:[NEUBRfrbu]{1,2})(?=[\"']))?"
"""Of a quoted text, in SQL and in Python."""
_VALUE: Final = (
    rf"{_REFERENCE}(?![\[{{]\s{{0,200}}[\"'(\[{{\]}}]){_PREFIX}"
    rf"(?P<secret>\"{{3}}[^\n]{{1,2000}}?\"{{3}}|\"[^\"\n]*\"|'[^'\n]*'|`[^`\n]*`|{_PLAIN})"
)
_ON_ONE_LINE: Final = r"[^\n;|]{0,300}?[ \t]"
_IN_URL: Final = r"(?P<secret>[^\s\"'<>]{1,2000})"
_ARGUMENT: Final = rf"(?P<secret>{_STANDS}|{_QUOTED}|[^\s\"';|&]+)"
_LINE_ENDS: Final = r"[ \t]{0,200}(?=\r?\n|\Z)"

_LINE: Final = r"(?m:^)[ \t#;]{0,200}"
_ITEM: Final = rf"{_LINE}(?:-[ \t]{{1,20}}){{0,5}}"
_NAMED: Final = rf"[\w.-]{{0,60}}?(?:{WORDS})[\w.-]{{0,60}}"
_YAML_KEY: Final = (
    rf"\\?[\"']?[\w.-]{{0,60}}?(?:{WORDS}|(?<![\w.-])pwd(?=[\"']?:[ \t]{{0,20}}[\"']?[^\s/\"']))[\w.-]{{0,60}}"
    r"(?<!file|path|name)(?:\\?[\"'][ \t]{0,3}:[ \t]*|[ \t]{0,3}:[ \t]+)"
)
_YAML_BLOCK: Final = (
    r"(?:[!&]\S{1,100}[ \t]{1,20}){0,2}[|>][-+\d]{0,2}[ \t]{0,200}(?:#[^\n]{0,500})?\r?\n(?:[ \t]{0,200}\r?\n){0,50}"
)
_NO_VALUE: Final = r"(?:true|false|null|none|yes|no|on|off|~)"
_YAML_PLAIN: Final = (
    rf"(?![\[{{#]|&[\w-]{{1,100}}[ \t]*(?:[#\r\n]|\Z)|{_YAML_BLOCK}|{_NO_VALUE}[ \t]*(?:[,}}#\r\n]|\Z)){_REFERENCE}"
)
"""What is no list, mapping, comment, anchor, block, reference or yes and no."""
_SENTENCE: Final = (
    r"(?!(?!pass|pw|psk|secret)[a-z]{1,60}[ \t]*:"
    r"(?=[^\n]{0,500}?[ \t](?:must|is|are|was|be|has|have|may|should|can|will|see|used|using|how|when|where|if|not"
    r"|least)[ \t,.;])"
    r"(?=[^\n]{0,500}?[ \t](?:the|an?|of|to|for|with|in|and|or|at|on|by|it|this|that|from|as|no|have|been)[ \t])"
    rf"(?:[ \t]+(?:[a-z][a-z'’-]{{0,30}}|\d{{1,4}})[,.;:!?)]?){{4,60}}{_LINE_ENDS})"
)
"""Before a bare word and a colon: no sentence follows, of four words and more and two that only sentences have.

What is called a password or secret may be such a sentence."""
_CRYPT: Final = r"apr1|2[abxy]|argon2\w{1,2}|[156y](?=\${1,2}[^\s$]{1,100}\${1,2}[\w./]{20})"

_NO_SETTING: Final = (
    rf"(?!(?:{_NO_VALUE}|nopass|optional|required|requisite|sufficient|(?:n?var)?char|text|string|bytea|blob)\b"
    r"|[\"']?(?:/|\$[a-z_{(]|\.{1,2}/|~/)|[=:|&<>(){}\[\],!?-])"
)
"""After a name and a blank: no word of a grammar, path, variable or operator."""
_BARE: Final = r"(?:pass(?:word|wd|phrase|code)?s?|secrets?|tokens?|credentials?|creds?|auth|keys?|pw|salt|psk)"
_GATEWAYS: Final = r"(?:(?:proxy|fastcgi|uwsgi|scgi|grpc|memcached)_pass(?:_header)?|server_?tokens)"
"""Directives of nginx and Apache that are no secrets."""
_SETTER: Final = (
    r"(?:(?:http-re\w{1,6}[ \t]{1,20})?[\w:-]{0,40}(?:set|setx|env|param|header|add|arg|export)[ \t]{1,20}"
    r"(?:(?:set|add|append|always|-\w{1,20})[ \t]{1,20}){0,3})?"
)
_ISSUED: Final = r"(?-i:(?=[\w+=-]{0,100}\d)(?=[\w+=-]{0,100}[A-Za-z])|(?=\w{0,100}[a-z][A-Z]))[\w+=]{20,512}"
"""A word as long as keys are, of letters and digits, or in mixed case; no blank, dash, dot or slash as names have."""
_REFERENCES_ONLY: Final = (
    r"(?![\w.-]{0,60}(?<![\w.-])(?:(?:imagepull|existing)?secrets?|credentials?)[\"']?[ \t]{0,3}[:=])"
)
"""Keys of lists of names, as compose and Kubernetes have."""
_LIST_KEY: Final = rf"{_REFERENCES_ONLY}\\?[\"']?{_NAMED}(?<!file|path|name|type)\\?[\"']?[ \t]{{0,3}}"
_SCALAR: Final = (
    rf"(?![\[{{#&*!|>-]|{_NO_VALUE}[ \t]*(?:[,#\r\n]|\Z))"
    rf"(?:{_QUOTED}|(?![^\n]{{0,500}}:(?:\s|\Z))[^\s\"'][^\n]{{0,500}})"
)
_OF_XML: Final = rf"[\"'][^\"'<>]{{0,80}}?(?:{WORDS})[\w.-]{{0,60}}(?<!file|path|name)[\"']"
_XML_VALUE: Final = r"\bvalue[ \t]{0,3}=[ \t]{0,3}(?P<secret>\"[^\"<>\n]{1,2000}\"|'[^'<>\n]{1,2000}')"
_XML_NAME: Final = r"\b(?:key|name|id|property)[ \t]{0,3}=[ \t]{0,3}"

COMMANDS: Final[tuple[tuple[str, str], ...]] = (
    ("sshpass", rf"\bsshpass[ \t]+(?P<option>-p){_ARGUMENT}"),
    ("pass:", r"[ \t]-?-pass(?:in|out)?[ \t]+[\"']?(?P<option>pass:)(?P<secret>[^\s\"']+)"),
    ("openssl", rf"\bopenssl{_ON_ONE_LINE}(?P<option>)-k[ \t]+{_ARGUMENT}"),
    (
        "htpasswd",
        rf"\bhtpasswd[ \t]+-\w{{0,9}}b\w{{0,9}}[ \t]+(?:\S{{1,300}}[ \t]+){{1,6}}?(?P<option>){_ARGUMENT}"
        r"[ \t]*(?=[\n;|&>]|\Z)",
    ),
    ("ldap", rf"\bldap[a-z]{{3,9}}\b{_ON_ONE_LINE}(?-i:-[ws])[ \t]*(?P<option>){_ARGUMENT}"),
    (
        "rabbitmqctl",
        rf"\brabbitmqctl{_ON_ONE_LINE}(?:add_user|change_password|authenticate_user)[ \t]+\S{{1,200}}[ \t]+"
        rf"(?P<option>){_ARGUMENT}",
    ),
    (
        "alias set",
        rf"\bmc[ \t]{{1,9}}(?:-\S{{1,99}}[ \t]{{1,9}}){{0,5}}alias set(?:[ \t]+\S{{1,300}}){{3}}[ \t]+"
        rf"(?P<option>){_ARGUMENT}",
    ),
    ("%", r"[ \t]-U[ \t]*[\"']?(?P<option>[^\s%\"']{1,100}%)(?P<secret>[^\s\"']+)"),
)
"""Programs whose arguments are secrets by their place: what the text has, and `option`, which is one word with it."""

PLACES: Final[tuple[tuple[str, str], ...]] = (
    # NAME: | and the lines below, as far as they are indented like the first
    (
        "\n",
        rf"{_ITEM}{_YAML_KEY}{_YAML_BLOCK}(?P<indent>[ \t]{{1,200}})"
        r"(?P<secret>\S[^\n]*(?:\n(?:(?P=indent)[^\n]*|[ \t\r]*(?=\n)))*)",
    ),
    # NAME: and a list below, of one item on a line, or in brackets; and a value alone on the line below
    (
        "\n",
        rf"{_LINE}{_LIST_KEY}:[ \t]{{0,20}}(?:#[^\n]{{0,500}})?\r?\n(?P<indent>[ \t]{{0,200}}-[ \t]{{1,20}})"
        rf"(?P<secret>{_SCALAR}(?:\r?\n(?P=indent){_SCALAR}){{0,500}})",
    ),
    (
        "[",
        rf"(?<![\w.-]){_LIST_KEY}(?::|=>?)[ \t]{{0,20}}\[\s{{0,200}}"
        r"(?!(?:[\d.,\s]{1,200}|\(sensitive[^\]\n]{0,60})\])(?P<secret>[^\s\[\]{}][^\[\]{}]{0,4000}?)\s{0,200}\]",
    ),
    (
        "\n",
        rf"(?m:^)(?P<pad>[ \t]{{0,200}})(?:-[ \t]{{1,20}}){{0,5}}{_LIST_KEY}:[ \t]{{0,20}}\r?\n(?P=pad)[ \t]{{1,200}}"
        rf"(?P<secret>{_QUOTED}|{_SCALAR}),?{_LINE_ENDS}",
    ),
    # name: NAME and value: below or beside it
    (
        "value",
        rf"\b(?:name|key)\\?[\"']?[ \t]{{0,3}}:[ \t]{{0,20}}\\?[\"']?{_NAMED}(?<!file|path|name)\\?[\"']?,?\s{{1,200}}"
        rf"\\?[\"']?value\\?[\"']?[ \t]{{0,3}}:[ \t]{{0,20}}{_YAML_PLAIN}"
        rf"(?P<secret>{_STANDS}|{_QUOTED}|[^\s,}}\"']+(?:[ \t]+[^\s,}}#]+)*)",
    ),
    (
        "variable",
        rf"\bvariable[ \t]{{1,9}}\"{_NAMED}\"\s{{0,9}}\{{[^{{}}]{{0,500}}?\bdefault[ \t]{{0,40}}=[ \t]{{0,40}}{_VALUE}",
    ),
    # URLs that let everybody write into a chat, and signed ones
    ("hooks.slack", rf"\bhooks\.slack[\w-]{{0,10}}\.com/(?:services|workflows|triggers)/{_IN_URL}"),
    (".com/api/", rf"\bdiscord(?:app)?\.com/api/(?:v\d{{1,2}}/)?webhooks/[^\s/\"']{{1,60}}/{_IN_URL}"),
    ("/webhook", rf"(?:/webhookb2|\boutlook\.office(?:365)?\.com/webhook)/{_IN_URL}"),
    ("bot", r"(?:\btelegram\.org/(?:file/)?bot\d{1,20}|\bbot\d{5,20}):(?P<secret>[^\s/?\"'<>]{5,500})"),
    ("://", rf"\b(?:slack|discord|tgram|msteams)://{_IN_URL}"),
    ("sig", r"[?&;](?:[\w-]{0,20}-)?sig(?:nature)?=(?P<secret>[^\s\"'&<>]{1,1000})"),
    ("-----begin", r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?P<secret>[^-]+(?:-(?!----)[^-]*)*)"),
    # user:password@ of a URL; a port is none, and a password may hold slashes
    ("@", r"://[^\s/?#:@\"']{0,200}:(?!\d{1,5}(?:[/?#,]|$))(?P<secret>[^\s\"'<>]{1,1000})@"),
    ("@", r"https?://(?P<secret>[^\s/?#:@\"'<>]{8,500})@"),
    ("@", r"(?<![\w./-])[\w.-]{1,100}:(?P<secret>[^\s@\"']{1,500})@(?:tcp|unix|udp)\("),
    (
        "@",
        r"(?<![\w./@:+%-])(?!(?:mailto|acct|sips?|xmpp|e?-?mail|contact|from|to|cc|bcc|maintainer|author):)"
        r"[\w.+%-]{1,100}(?:@[\w.-]{1,100})?:(?!\d{1,5}@|//)(?P<secret>[^\s@\"'<>/:]{1,200})@(?!sha\d{3}:)"
        r"[\w.-]{1,200}(?=[:/?,;\s\"'`)\]]|\Z)",
    ),
    (
        "authorization",
        r"\b(?:proxy-)?authorization[\"']?(?:\s{0,4}[:=]\s{0,4}[\"']?(?:(?:basic|bearer|digest|token|apikey)[ \t]+)?"
        r"|[ \t]{1,40}(?:always[ \t]{1,9})?[\"']?(?:basic|bearer|digest|token|apikey)[ \t]+(?!\$))"
        r"(?P<secret>[^\s\"']+)",
    ),
    ("bearer", r"\bbearer[ \t]+(?!realm=|tokens?\b|auth\w*\b)(?P<secret>[\w.~+/=-]{6,})"),
    (
        "basic",
        r"\bbasic[ \t]+(?-i:(?=[a-z+/]*(?:\d|=|[A-Z]*[a-z]+[A-Z])|[A-Z]{2}))(?P<secret>[\w+/]{8,2000}={0,2})(?![\w-])",
    ),
    ("-h", rf"(?:-H|--header)[ \t=]*[\"']?[\w-]{{0,40}}?(?:{WORDS})[\w-]{{0,40}}:[ \t]*(?P<secret>[^\s\"']+)"),
    # NAME = value and a.name=value to the line's end, as no shell has them; NAME=value that has & and ; in it, no blank
    (
        "=",
        rf"{_ITEM}(?:(?=[\w-]{{1,60}}\.)\b{_NAMED}|\b{_NAMED}[ \t]{{1,40}})=[ \t]{{0,40}}{_REFERENCE}"
        rf"(?P<secret>[^\s\"'`=>][^\s\"'`]*(?:[ \t]+[^\s#;][^\s\"']*)*){_LINE_ENDS}",
    ),
    (
        "=",
        rf"{_ITEM}(?:export[ \t]{{1,9}})?\b{_NAMED}=(?![^\s;&]*[;&][\w ]{{1,40}}=){_REFERENCE}"
        rf"(?P<secret>[^\s\"'=][^\s\"']*){_LINE_ENDS}",
    ),
    # NAME=VALUE, --name=VALUE, ?name=VALUE, Name=VALUE; 'name' => 'value'
    (
        "=",
        rf"(?:{WORDS})[\w.\]-]{{0,60}}(?:\\?[\"']\]?)?[ \t]{{0,40}}[:?+!]?={{1,3}}(?:>(?=[ \t]|[\"']))?[ \t]{{0,40}}"
        rf"{_VALUE}",
    ),
    # a connection string's, not the working directory
    ("pwd", rf"(?:[;,?&][ \t]{{0,3}}pwd|{_LINE}[\"']?pwd(?=[^;\n]{{1,500}};))[ \t]{{0,3}}=[ \t]{{0,3}}{_VALUE}"),
    (
        ":",
        rf"(?:{WORDS})[\w.-]{{0,60}}\\?[\"'][ \t]{{0,3}}:[ \t]{{0,3}}{_REFERENCE}"
        rf"(?P<secret>\\\"[^\"\n]*\"|{_QUOTED}|\"[^\"\n]*\")",
    ),
    ("-", rf"(?<![\w-])-{{1,2}}[\w-]{{0,40}}?(?:{WORDS})[\w-]{{0,40}}[ \t]+(?!-){_VALUE}"),
    # "Key": what somebody was issued or made up, as ASP.NET's Jwt and PagerDuty's routing_key; no name of a thing
    (
        "key",
        r"(?<![\w.-])(?:(?:routing|service|integration|user|license|hmac|jws)[-_]?)?key[\"']?[ \t]{0,3}[:=]"
        rf"[ \t]{{0,20}}[\"']?(?P<secret>{_ISSUED})(?=[\"',;&\s}}]|\Z)",
    ),
    # commands of one line
    ("-p", rf"(?<![\w-])(?-i:-p)[ \t]+(?!-)(?!(?:[\d.:/\[\]-]+|[./~]\S*)(?:\s|$)){_VALUE}"),
    ("-p", rf"{MYSQL}{_ON_ONE_LINE}[\"']?(?-i:-p)(?!\d+:\d+(?:\s|$))(?P<secret>{_QUOTED}|[^\s\"']+)"),
    ("-a", rf"{REDIS}{_ON_ONE_LINE}-a[ \t]+{_VALUE}"),
    ("-u", rf"\bcurl\b{_ON_ONE_LINE}(?:-u|--user)[ \t=]*'[^\s:']{{0,100}}:(?P<secret>[^'\n]+)'"),
    ("-u", rf"\bcurl\b{_ON_ONE_LINE}(?:-u|--user)[ \t=]*\"[^\s:\"]{{0,100}}:(?P<secret>[^\"\n]+)\""),
    ("-u", rf"\bcurl\b{_ON_ONE_LINE}(?:-u|--user)[ \t=]*[\"']?[^\s:\"']{{0,100}}:(?P<secret>[^\s\"']+)"),
    (
        "echo",
        rf"\b(?:echo|printf)[ \t]+(?:-\w{{1,9}}[ \t]+)?{_REFERENCE}(?P<secret>{_STANDS}|{_QUOTED}|[^\s\"'|]+)[ \t]*"
        r"\|[^\n|]{0,200}?"
        r"(?:--password-stdin|\bchpasswd\b|--stdin\b)",
    ),
    # files of SQL
    (
        "identified",
        r"\bidentified(?:[ \t]+with[ \t]+\S{1,60})?\s{1,9}(?:by|as)\s{1,9}(?:password[ \t]+)?"
        rf"(?P<secret>{_QUOTED})",
    ),
    # NAME "value", f("NAME", "value") and password("value")
    (
        "",
        rf"(?:(?<=\()[ \t]{{0,9}}[\"']{_NAMED}[\"'][ \t]{{0,9}},[ \t]{{0,200}}"
        rf"|(?:(?<!\w)|(?<=set)|(?<=set_)|(?<=with))(?:{WORDS})[ \t]?\([ \t]{{0,9}}"
        rf"|(?:{WORDS})[\w.-]{{0,60}}[ \t]{{1,200}})(?![\"'](?:/|\.{{1,2}}/)|[^\n{{}}]{{0,100}}\}}\}}){_REFERENCE}"
        rf"{_PREFIX}(?P<secret>{_QUOTED})",
    ),
    # NAME value, alone on its line but for what sets it
    (
        "",
        rf"{_LINE}{_SETTER}\$?(?!{_BARE}[ \t]|{_GATEWAYS}\b){_NAMED}[ \t]{{1,200}}{_NO_SETTING}"
        rf"(?P<secret>{_QUOTED}|[^\s\"';]+)(?:;|[ \t]always;?)?{_LINE_ENDS}",
    ),
    (
        "pass",
        r"(?m:^)[ \t]{0,200}(?:(?-i:p)|p(?=\w{1,9}[ \t]{1,200}[a-z]*[^a-z\s]))ass(?:word|wd|phrase)[ \t]{1,200}"
        rf"{_NO_SETTING}"
        rf"(?P<secret>[^\s\"';,]+)[;,]?{_LINE_ENDS}",
    ),
    (
        "pass",
        r"\b(?:login|user)[ \t]{1,20}\S{1,100}[ \t]{1,20}(?:insecure-)?password[ \t]{1,200}"
        rf"{_NO_SETTING}(?P<secret>{_QUOTED}|[^\s\"';]+)",
    ),
    # files: XML, properties, YAML, redis.conf, htpasswd, pgpass, HAProxy, Postfix
    (
        "</",
        rf"<[\w:.-]{{0,60}}?(?:{WORDS})[\w.-]{{0,60}}(?<!file|path|name)(?:\s[^<>]{{0,300}})?>\s{{0,200}}"
        r"(?:<!\[CDATA\[\s{0,200})?(?P<secret>[^\s<>][^<>]{0,2000}?)\s{0,200}(?:\]\]>\s{0,200})?</",
    ),
    ("value", rf"{_XML_NAME}{_OF_XML}[^<>]{{0,300}}?{_XML_VALUE}"),
    ("value", rf"{_XML_VALUE}[^<>]{{0,300}}?{_XML_NAME}{_OF_XML}"),
    ("</", rf"{_XML_NAME}{_OF_XML}[^<>]{{0,300}}(?<!/)>\s{{0,200}}(?P<secret>[^\s<>][^<>]{{0,2000}}?)\s{{0,200}}</"),
    (
        "</",
        rf"<(?P<tag>name|key)>\s{{0,200}}[^<>\n]{{0,80}}?(?:{WORDS})[\w.-]{{0,60}}(?<!file|path|name)\s{{0,200}}</(?P=tag)>\s{{0,200}}"
        r"<(?:value|string|data)>\s{0,200}(?P<secret>[^\s<>][^<>]{0,2000}?)\s{0,200}</",
    ),
    (
        ":",
        rf"{_LINE}[\w.-]{{0,60}}(?:password|passwd|passphrase):(?!\d{{1,5}}(?:/|\s|$)|//)(?P<secret>[^\s:][^\n]*)",
    ),
    (":", rf"{_ITEM}{_SENTENCE}{_YAML_KEY}{_YAML_PLAIN}(?P<secret>{_QUOTED}|\S+(?:[ \t]+[^\s#]\S*)*)"),
    (
        ":",
        rf"(?:(?P<open>\{{)|,)[ \t]{{0,20}}{_YAML_KEY}(?(open)|(?=[^{{}}]{{0,2000}}[{{}}])){_YAML_PLAIN}"
        rf"(?P<secret>{_STANDS}|{_QUOTED}|[^\s,}}]+(?:[ \t]+[^\s,}}]+)*)",
    ),
    (
        "",
        rf"(?:{_LINE}|\bconfig[ \t]{{1,5}}set[ \t]{{1,5}})"
        r"(?:requirepass|masterauth|sentinel[ \t]{1,5}auth-pass[ \t]{1,5}\S{1,100})[ \t]{1,20}(?![=:])"
        rf"(?P<secret>{_QUOTED}|\S+)",
    ),
    (
        "user ",
        r"(?:(?m:^)[ \t]{0,20}|\bacl[ \t]{1,5}set)user[ \t]{1,5}\S{1,100}[ \t]+(?:[^\n>#]{0,300}[ \t])?(?:on|off)[ \t]+"
        r"(?:[^\n>#]{0,200}[ \t])?[>#](?P<secret>\S+(?:[ \t]+[>#]\S+){0,20})",
    ),
    ("auth ", r"\bstats[ \t]{1,20}auth[ \t]{1,20}[^\s:]{1,100}:(?P<secret>\S+)"),
    (
        ":",
        r"(?m:^)[ \t#]{0,20}[\w.*-]{1,200}:(?:\d{1,5}|\*):(?:\*|[a-z_][\w-]{0,100}):(?:\*|[a-z_][\w.@-]{0,100}):"
        rf"(?!(?:tcp|udp|sctp|r[ow]|\d+)\b)(?P<secret>[^\n\r:]+){_LINE_ENDS}",
    ),
    (
        ":",
        r"(?m:^)(?:\[[\w.-]{1,200}\](?::\w{1,20})?|[\w.-]{0,100}?(?:smtp|mail|relay|mx)[\w.-]{0,100})[ \t]{1,100}"
        rf"[^\s:/]{{1,100}}:(?!\d{{1,5}}\b|//)(?P<secret>[^\s;]+){_LINE_ENDS}",
    ),
    ("$", rf"(?P<secret>\${{1,2}}(?:{_CRYPT})\${{1,2}}[\w./=,+$-]{{1,500}})"),
    ("{", r"(?-i:\{(?:S?SHA\d{0,3}|S?MD5|CRYPT)\})(?P<secret>[\w+/=.$-]{6,500})"),
    # what GitHub, GitLab, Slack, Swarm, AWS, Stripe, Google, HashiCorp and others issue, and JWT
    (
        "",
        r"\b(?P<secret>gh[a-z]_\w{20,255}|github_pat_\w{20,255}|glpat-[\w-]{15,255}|xox[a-z]-[\w-]{10,255}"
        r"|SWMTKN-\d-[\w-]{10,255}|SWMKEY-\d-[\w+/]{10,255}|AKIA[0-9A-Z]{16}"
        r"|[sr]k_(?:live|test)_\w{10,255}|whsec_\w{10,255}|sk-[\w-]{20,255}|AIza[\w-]{30,60}|hv[sb]\.[\w-]{15,255}"
        r"|SG\.[\w-]{16,60}\.[\w-]{16,90}|npm_\w{30,60}|dckr_pat_[\w-]{20,60}|pypi-[\w-]{20,255}|AGE-SECRET-KEY-\w{20,90}"
        r"|eyJ[\w-]{10,2000}\.[\w-]{10,8000}\.[\w-]{0,2000})",
    ),
)
"""What in a text is a secret by where it stands, after what the text has, in lower case, if any of it does.

Every repetition is bounded, or ends where the next one can't begin before: texts are as long as somebody likes.
"""
SIGNS: Final = (
    r"pass|pw|secret|token|cred|auth|key|bearer|@|-[pauksw]|gh[a-z]_|github_|glpat|xox|swmtkn|akia|eyj|psk|salt|basic "
    r"|hook|bot\d|slack:|discord:|tgram:|msteams:|sig(?:nature)?=|\$(?:apr1|2[abxy]|argon2|[156y]\$)|\{(?:s?sha|s?md5|crypt)"
    r"|tified |add_user|alias set| >\S| #[\da-f]{64}|\]:|smtp|mail|:\*:|:\d{1,5}:[a-z*_]"
    r"|sk_[lt]|rk_[lt]|sk-\w|sec_|aiza|hv[sb]\.|sg\.|npm_|dckr_|pypi-"
)
"""A text in lower case without any of these has none of those: most have not, and a plan looks at all."""
