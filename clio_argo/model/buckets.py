"""Names of buckets that only Google can make, and prices of storage classes."""

# list prices in us-central1, rounded: $ per GB and month, $ per GB read, least number of days that are billed
PRICES = {
    "STANDARD": (0.020, 0.0, 0),
    "NEARLINE": (0.010, 0.01, 30),
    "COLDLINE": (0.004, 0.02, 90),
    "ARCHIVE": (0.0012, 0.05, 365),
}


def price_of(storage_class: str) -> str:
    """What a colder storage class saves and costs, in one sentence."""
    month, read, days = PRICES[storage_class]
    return (
        f"{storage_class}: about ${month:g} per GB and month instead of ${PRICES['STANDARD'][0]:g}; every GB that is "
        f"read costs ${read:g}, also when the volume is viewed, and each object is billed for at least {days} days. "
        "List prices may change: see https://cloud.google.com/storage/pricing"
    )


def reserved(name: str) -> list[str]:
    """Why only Google can make a bucket of this name; empty if anybody can."""
    google = name.startswith("goog") or "google" in name
    return ["begins with goog or holds google, which is reserved"] if google else []
