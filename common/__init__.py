"""What the box, the cloud and the driver's client share. It knows no OCPP."""
