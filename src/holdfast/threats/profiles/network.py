"""Intrusion: who sends, and what the network makes of it."""

from holdfast.threats.profiles.profile import Known, Profile, Role

INTRUSION = Profile(
    name="intrusion",
    attacker="whoever sends the connection, and wants it taken for ordinary traffic",
    threat="table:features=2",
    roles=(
        Role("sent", "up", "bytes can be padded and time be waited; what the attack needs cannot be left away"),
        Role("answered", "up", "the other side sends more only if it is asked for more", cost=2),
        Role("acted", "up", "more commands, logins and files can be added to a session", cost=2),
        Role("repeated", "up", "more connections like these can be opened, in the same proportions", cost=2),
        Role("derived", "no", "shares over windows that hold others' connections as well"),
        Role("needed", "no", "protocol, service and what came of the connection are what makes the attack"),
    ),
    tables=(
        Known(
            "nsl_kdd",
            {
                "sent": ("duration", "src_bytes", "wrong_fragment", "urgent"),
                "answered": ("dst_bytes",),
                "acted": ("hot", "num_failed_logins", "num_file_creations", "num_access_files"),
                "repeated": ("count", "srv_count"),
                "derived": ("*serror_rate", "*rerror_rate", "*same_*_rate", "*diff_*_rate", "dst_host_*count"),
                "needed": (
                    "protocol_type", "service", "flag", "land", "logged_in", "num_compromised", "root_shell",
                    "su_attempted", "num_root", "num_shells", "num_outbound_cmds", "is_host_login", "is_guest_login",
                ),
            },
            (
                'flag == "S0" -> src_bytes == 0 and dst_bytes == 0 and duration == 0',
                'flag == "REJ" -> src_bytes == 0 and dst_bytes == 0',
                'flag == "SH" -> src_bytes == 0',
                'protocol_type == "icmp" -> dst_bytes == 0 and duration == 0',
                'protocol_type != "tcp" -> hot == 0 and num_failed_logins == 0 and urgent == 0',
                'protocol_type == "tcp" -> wrong_fragment == 0',
                "logged_in == 0 -> num_access_files == 0",
            ),
        ),
    ),
    beyond="dependencies between the shares and the counts of a window, and several connections planned together",
    sources=(
        "Chernikova and Oprea, FENCE, ACM TOPS 2022, arXiv:1909.10480: what a sender adds, what features follow",
        "relations: no row of both parts of NSL-KDD breaks one",
    ),
)  # fmt: skip
