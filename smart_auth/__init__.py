"""SMART App Launch 2.2 authorisation and the SMART implementation of the access port."""
