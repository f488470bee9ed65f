"""Malware: programs that must still run, so that things are added."""

from holdfast.threats.profiles.profile import Known, Profile, Role

MALWARE = Profile(
    name="malware",
    attacker="whoever ships the program, adds to it without touching what runs, and wants it taken for benign",
    threat="table:features=4",
    roles=(
        Role("appended", "up", "bytes and sections at the end are never executed; taking some away may break the file"),
        Role("reserved", "up", "more memory may be asked for than is used; less may not suffice"),
        Role("mixed", "both", "appended bytes may be even or random, so that the entropy of the file goes either way"),
        Role("ignored", "no", "the loader never looks: a rewrite, no addition; the set's own schema lets it move"),
        Role("run", "no", "the loader or the code depends on it"),
        Role("told", "no", "made of names and bytes that run: unpacking or renaming is another attack"),
    ),
    tables=(
        Known(
            "clamp_pe",
            {
                "appended": ("NumberOfSections", "SizeOfInitializedData", "non_sus_sections", "filesize"),
                "reserved": ("SizeOfStackReserve", "SizeOfStackCommit", "SizeOfHeapReserve", "SizeOfHeapCommit"),
                "mixed": ("E_file",),
                "ignored": (
                    "e_cblp", "e_cp", "e_cparhdr", "e_maxalloc", "e_sp", "CreationYear", "MajorLinkerVersion",
                    "MinorLinkerVersion", "MajorOperatingSystemVersion", "MinorOperatingSystemVersion",
                    "MajorImageVersion", "MinorImageVersion", "CheckSum", "LoaderFlags", "fileinfo",
                ),
                "run": (
                    "e_lfanew", "FH_char*", "SizeOfCode", "SizeOfUninitializedData", "AddressOfEntryPoint",
                    "BaseOfCode", "BaseOfData", "ImageBase", "SectionAlignment", "FileAlignment",
                    "MajorSubsystemVersion", "MinorSubsystemVersion", "SizeOfImage", "SizeOfHeaders", "Subsystem",
                    "OH_DLLchar*",
                ),
                "told": ("sus_sections", "packer", "packer_type", "E_text", "E_data"),
            },
            ("sus_sections + non_sus_sections == NumberOfSections",),
        ),
    ),
    beyond="the problem space: whether a file with these numbers can be built, and that appended bytes move the "
    "entropy by as much as they are many",
    sources=(
        "Pierazzi et al., IEEE S&P 2020, arXiv:1911.02142: available transformations, preserved semantics",
        "Demetrio et al., Adversarial EXEmples, ACM TOPS 2021, arXiv:2008.07125: fields and gaps the loader ignores",
    ),
)  # fmt: skip
