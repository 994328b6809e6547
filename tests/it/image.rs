//! The container image that `make image` builds: it is small and reproducible, and Docker and Podman can read it.

use crate::harness::{self, Bundle, Sandbox, needs, words};
use std::fs;
use std::path::{Path, PathBuf};

/// Builds a container image of the vsrun under test, and returns the path of its archive.
#[track_caller]
fn image(sandbox: &Sandbox, name: &str) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/image");
    let file = sandbox.path(name);
    let line = words![sandbox.path("vsrun"), std::env::consts::ARCH, &file];
    sandbox.program(&script, line).finish().assert_exited(0);
    file
}

/// Unpacks an image archive, and returns the directory with its OCI layout.
#[track_caller]
fn unpacked(sandbox: &Sandbox, archive: &Path) -> PathBuf {
    let layout = sandbox.path("layout");
    fs::create_dir(&layout).unwrap();
    let line = words!["-C", &layout, "-xf", archive];
    sandbox.program(&harness::find_tool("tar").unwrap(), line).finish().assert_exited(0).assert_silent();
    layout
}

#[test]
fn the_image_contains_only_vsrun_and_runs() {
    needs!(harness::can_run_containers(), harness::tool("umoci"));
    let sandbox = Sandbox::new();
    let archive = image(&sandbox, "image.tar");
    let layout = unpacked(&sandbox, &archive);
    let bundle = Bundle::of_image(&sandbox, &format!("{}:latest", layout.display()));
    assert_eq!(harness::names(&bundle.root()), ["vsrun"]);
    let ours = fs::read(sandbox.path("vsrun")).unwrap();
    assert!(fs::read(bundle.root().join("vsrun")).unwrap() == ours, "the bytes of vsrun");
    assert!(fs::metadata(&archive).unwrap().len() < ours.len() as u64 + 16384, "little is added");

    let help = bundle.run().finish();
    assert_eq!(help.assert_exited(0).out, sandbox.vsrun(words!["--help"]).finish().out);
    bundle.change(".process.args = [\"/vsrun\", \"--restart\", \"no\", \"--\", \"/vsrun\", \"--version\"]", words![]);
    let version = bundle.run().finish();
    assert_eq!(version.assert_exited(0).out[0], concat!("vsrun ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_same_binary_gives_the_same_image() {
    needs!(harness::tool("umoci"), harness::tool("jq"));
    let sandbox = Sandbox::plain();
    let bytes = ["first", "second"].map(|name| fs::read(image(&sandbox, name)).unwrap());
    assert!(bytes[0] == bytes[1], "the bytes of two images");
}

#[test]
fn buildah_reads_the_image_under_its_name() {
    needs!(harness::root(), harness::tool("buildah"), harness::tool("umoci"), harness::tool("jq"));
    let sandbox = Sandbox::new();
    let archive = image(&sandbox, "image.tar");
    let mut found = Vec::new();
    // The archive has both formats: the one that Docker writes and the one that Podman prefers.
    for kind in ["docker-archive", "oci-archive"] {
        let source = format!("{kind}:{}", archive.display());
        found.push(harness::buildah(&sandbox, words!["pull", "--quiet", source]).assert_exited(0).out.clone());
    }
    assert_eq!(found[0], found[1]);
    let named =
        harness::buildah(&sandbox, words!["inspect", "--type", "image", "vsrun:latest"]).assert_exited(0).out.concat();
    assert!(named.contains(&found[0][0]), "{named}");
}
