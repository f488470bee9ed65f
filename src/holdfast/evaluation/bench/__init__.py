"""What an attack costs on this machine: beside the plain loop, beside other toolkits, as inputs grow."""
