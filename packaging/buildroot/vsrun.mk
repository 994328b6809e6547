################################################################################
#
# vsrun
#
################################################################################

VSRUN_VERSION = 0.2.0
VSRUN_SOURCE = vsrun-$(VSRUN_VERSION).tar.gz
# Set VSRUN_SITE to the location of your archives from `make release`.
VSRUN_LICENSE = MIT or Apache-2.0
VSRUN_LICENSE_FILES = LICENSE-MIT LICENSE-APACHE

define VSRUN_INSTALL_TARGET_CMDS
	$(INSTALL) -D -m 0755 $(@D)/target/$(RUSTC_TARGET_NAME)/release/vsrun $(TARGET_DIR)/sbin/vsrun
endef

$(eval $(cargo-package))
