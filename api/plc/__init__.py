"""The line's PLC reads here: one verdict a part and gate, over OPC UA."""
