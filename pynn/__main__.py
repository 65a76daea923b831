"""`python -m pynn` is `pynn`."""

from pynn.cli import main

raise SystemExit(main())
