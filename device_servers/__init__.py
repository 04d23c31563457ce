"""The Tango device server RinglineDS and the embedded Tango system."""
