/** An embedding process that crashes while it starts. */
process.exit(3)
