//! Ticks while MAAS or Testflinger cannot be read: nothing is decided, and the cause has a name.
