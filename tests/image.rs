//! The container image of `make image`: small, the same each time, and what docker and podman take.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)]
#![allow(clippy::std_instead_of_core, clippy::std_instead_of_alloc, clippy::indexing_slicing)]
#![allow(clippy::panic, clippy::print_stderr, missing_docs)]

mod kit;

use kit::{Bundle, Place, needs, words};
use std::fs;
use std::path::{Path, PathBuf};

/// The image of the vsrun that is tested.
#[track_caller]
fn image(place: &Place, name: &str) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/image");
    let file = place.path(name);
    let line = words![place.path("vsrun"), std::env::consts::ARCH, &file];
    place.program(&script, line).finish().exited(0);
    file
}

/// The layout in that archive.
#[track_caller]
fn unpacked(place: &Place, archive: &Path) -> PathBuf {
    let layout = place.path("layout");
    fs::create_dir(&layout).unwrap();
    let line = words!["-C", &layout, "-xf", archive];
    place.program(&kit::find_tool("tar").unwrap(), line).finish().exited(0).silently();
    layout
}

#[test]
fn it_holds_vsrun_alone_and_runs() {
    needs!(kit::containers(), kit::tool("umoci"));
    let place = Place::new();
    let archive = image(&place, "image.tar");
    let layout = unpacked(&place, &archive);
    let bundle = Bundle::of_image(&place, &format!("{}:latest", layout.display()));
    assert_eq!(kit::names(&bundle.root()), ["vsrun"]);
    let ours = fs::read(place.path("vsrun")).unwrap();
    assert!(fs::read(bundle.root().join("vsrun")).unwrap() == ours, "the bytes of vsrun");
    assert!(fs::metadata(&archive).unwrap().len() < ours.len() as u64 + 16384, "little is added");

    let help = bundle.run().finish();
    assert_eq!(help.exited(0).out, place.vsrun(words!["--help"]).finish().out);
    bundle.change(".process.args = [\"/vsrun\", \"--restart\", \"no\", \"--\", \"/vsrun\", \"--version\"]", words![]);
    let version = bundle.run().finish();
    assert_eq!(version.exited(0).out[0], concat!("vsrun ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_same_binary_gives_the_same_image() {
    needs!(kit::tool("umoci"), kit::tool("jq"));
    let place = Place::plain();
    let bytes = ["first", "second"].map(|name| fs::read(image(&place, name)).unwrap());
    assert!(bytes[0] == bytes[1], "the bytes of two images");
}

#[test]
fn others_read_it_under_its_name() {
    needs!(kit::root(), kit::tool("buildah"), kit::tool("umoci"), kit::tool("jq"));
    let place = Place::new();
    let archive = image(&place, "image.tar");
    let mut found = Vec::new();
    // What Docker writes, and what Podman prefers: both are in there.
    for kind in ["docker-archive", "oci-archive"] {
        let source = format!("{kind}:{}", archive.display());
        found.push(kit::buildah(&place, words!["pull", "--quiet", source]).exited(0).out.clone());
    }
    assert_eq!(found[0], found[1]);
    let named = kit::buildah(&place, words!["inspect", "--type", "image", "vsrun:latest"]).exited(0).out.concat();
    assert!(named.contains(&found[0][0]), "{named}");
}
