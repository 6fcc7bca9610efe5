from clio_argo.cli import main

main()
