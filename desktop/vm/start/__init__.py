"""The ways to start the VM. Each gives the same: a `Machine` whose guest runs, with the data disk mounted."""
