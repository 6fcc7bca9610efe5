"""What storage classes of buckets cost."""

# list prices in the region us-central1, rounded: $ per GB and month, $ per GB read, days that are billed at least
PRICES = {
    "STANDARD": (0.020, 0.0, 0),
    "NEARLINE": (0.010, 0.01, 30),
    "COLDLINE": (0.004, 0.02, 90),
    "ARCHIVE": (0.0012, 0.05, 365),
}


def price_of(storage_class: str) -> str:
    """What a colder class saves and costs."""
    month, read, days = PRICES[storage_class]
    return (
        f"{storage_class}: about ${month:g} per GB and month instead of ${PRICES['STANDARD'][0]:g}; every GB that is "
        f"read costs ${read:g}, a look at the volume, too, and each object is billed for {days} days at least. "
        "List prices, which change: see https://cloud.google.com/storage/pricing"
    )
