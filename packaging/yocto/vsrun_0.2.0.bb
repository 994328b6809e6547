SUMMARY = "Start one server process correctly, and keep it alive"
DESCRIPTION = "Starts one server process as the right user, in the right root and directory, with a locked pidfile and its \
output in syslog or in files. It then either becomes the server or supervises it."
SECTION = "base"
LICENSE = "MIT | Apache-2.0"
# The MD5 sums of LICENSE-MIT and LICENSE-APACHE; tests/it/packaging.rs compares them with the files.
LIC_FILES_CHKSUM = "file://LICENSE-MIT;md5=25c201159b80dbeb72c9c1547a813ff9 \
                    file://LICENSE-APACHE;md5=3b83ef96387f14655fc854ddc3c6bd57"

SRC_URI = "file://vsrun-${PV}.tar.gz"

inherit cargo

do_install() {
    install -D -m 0755 ${B}/target/${CARGO_TARGET_SUBDIR}/vsrun ${D}${base_sbindir}/vsrun
}
