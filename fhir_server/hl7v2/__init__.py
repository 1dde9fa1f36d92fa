"""The HL7 v2 inbound edge: MLLP, message maps, acknowledgements."""
