"""Names of buckets, and what storage classes cost."""

import re

# https://cloud.google.com/storage/docs/buckets#naming, https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
CHARACTERS = {"gs": r"[a-z0-9][a-z0-9._-]*[a-z0-9]", "s3": r"[a-z0-9][a-z0-9.-]*[a-z0-9]"}
ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")
WORDS = {
    "gs": "lower-case letters, digits, '-', '_' and '.'",
    "s3": "lower-case letters, digits, '-' and '.'",
}
# list prices in the region us-central1, rounded: $ per GB and month, $ per GB read, days that are billed at least
PRICES = {
    "STANDARD": (0.020, 0.0, 0),
    "NEARLINE": (0.010, 0.01, 30),
    "COLDLINE": (0.004, 0.02, 90),
    "ARCHIVE": (0.0012, 0.05, 365),
}


def name_problems(scheme: str, name: str) -> list[str]:
    """Why no bucket of this store can have this name."""
    longest = 222 if scheme == "gs" and "." in name else 63
    problems = []
    if not 3 <= len(name) <= longest:
        problems.append(f"has {len(name)} characters, 3 to {longest} are allowed")
    if not re.fullmatch(CHARACTERS[scheme], name):
        problems.append(f"may hold {WORDS[scheme]}, and begins and ends with a letter or digit")
    if ".." in name or any(len(part) > 63 for part in name.split(".")):
        problems.append("has a part between dots that is empty or longer than 63 characters")
    if ADDRESS.fullmatch(name):
        problems.append("is an internet address")
    return problems


def reserved(name: str) -> list[str]:
    """Why nobody but Google can make a bucket of this name."""
    taken = name.startswith("goog") or "google" in name
    return ["begins with goog or holds google, which is reserved"] if taken else []


def price_of(storage_class: str) -> str:
    """What a colder class saves and costs."""
    month, read, days = PRICES[storage_class]
    return (
        f"{storage_class}: about ${month:g} per GB and month instead of ${PRICES['STANDARD'][0]:g}; every GB that is "
        f"read costs ${read:g}, a look at the volume, too, and each object is billed for {days} days at least. "
        "List prices, which change: see https://cloud.google.com/storage/pricing"
    )
