from robustbench_lite.cli.verbs import main

main()
