"""The command line: parse, one call of the library, show. Exit codes: 0 done, 1 failed, 2 wrong call, 75 try again."""


def main() -> None:
    """Entry point of `clio-argo`."""
    from clio_argo.cli.app import main as run

    run()
