from robustbench_lite.cli import main

main()
