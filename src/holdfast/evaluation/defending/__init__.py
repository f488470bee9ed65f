"""What defenses buy and cost: their names as text, the protocol, the measurements, the advice."""
