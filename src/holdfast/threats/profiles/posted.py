"""Phishing and spam: pages and messages, whose author writes what he likes, though not what others say of them."""

from holdfast.threats.profiles.profile import Known, Profile, Role

PHISHING = Profile(
    name="phishing",
    attacker="the owner of the site, who wants the page taken for a legitimate one",
    threat="table:cost=4",
    roles=(
        Role("page", "both", "what stands on the page is its owner's to write"),
        Role("looks", "both", "pictures, anchors and scripts copied from the bank must then be hosted here", cost=1.5),
        Role("address", "both", "another address is another site, to be set up and sent out anew", cost=2),
        Role("others", "no", "certificates, registers, ranks and lists are what others say, or take months"),
    ),
    tables=(
        Known(
            "phishing_websites",
            {
                "page": (
                    "Favicon", "SFH", "Submitting_to_email", "Redirect", "on_mouseover", "RightClick", "popUpWidnow",
                    "Iframe",
                ),
                "looks": ("Request_URL", "URL_of_Anchor", "Links_in_tags"),
                "address": (
                    "having_IP_Address", "URL_Length", "Shortining_Service", "having_At_Symbol",
                    "double_slash_redirecting", "Prefix_Suffix", "having_Sub_Domain", "port", "HTTPS_token",
                ),
                "others": (
                    "SSLfinal_State", "Domain_registeration_length", "Abnormal_URL", "age_of_domain", "DNSRecord",
                    "web_traffic", "Page_Rank", "Google_Index", "Links_pointing_to_page", "Statistical_report",
                ),
            },
        ),
    ),
    beyond="a site that was broken into, whose age, certificate and rank are somebody else's and good",
    sources=(
        "Mohammad, Thabtah and McCluskey, Neural Computing and Applications 2014: the rules behind these columns",
        "Kireev, Kulynych and Troncoso, NDSS 2023, arXiv:2208.13058: changes have costs, and gains bound them",
    ),
)  # fmt: skip

WORDS = (
    "make", "address", "all", "3d", "our", "over", "remove", "internet", "order", "mail", "receive", "will",
    "people", "report", "addresses", "free", "business", "email", "you", "credit", "your", "font", "000",
    "money", "hp", "hpl", "george", "650", "lab", "labs", "telnet", "857", "data", "415", "85", "technology",
    "1999", "parts", "pm", "direct", "cs", "meeting", "original", "project", "re", "edu", "table", "conference",
)  # fmt: skip

SPAM = Profile(
    name="spam",
    attacker="whoever writes the message, and wants it delivered with what it has to say",
    threat="table:l1=3",
    roles=(
        Role(
            "words", "up", "words are easily added; the message's own cannot go, and their share only falls by dilution"
        ),
        Role("signs", "up", "so are signs"),
        Role("capitals", "up", "capitals can be added at the end; runs that are there stay"),
        Role("mean", "both", "short runs of capitals bring their mean down, a long one brings it up"),
    ),
    tables=(
        Known(
            "spambase",
            {
                "words": ("word_freq_*",),
                "signs": ("char_freq_*",),
                "capitals": ("capital_run_length_longest", "capital_run_length_total"),
                "mean": ("capital_run_length_average",),
            },
            (
                " + ".join(f"word_freq_{word}" for word in WORDS) + " <= 100",
                " + ".join(f"`char_freq_{sign}`" for sign in ";([!$#") + " <= 100",
            ),
        ),
    ),
    beyond="dilution: a text twice as long halves every share at once, which single columns cannot say, so that "
    "senders can do more than this; and misspelled words, which leave the columns",
    sources=("Lowd and Meek, Good word attacks on statistical spam filters, CEAS 2005",),
)
