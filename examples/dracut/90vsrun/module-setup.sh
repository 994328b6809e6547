#!/bin/bash
# A dracut module that copies early services into the initramfs: /usr/lib/dracut/modules.d/90vsrun/module-setup.sh.
#
# An early service is an executable service file in /etc/vsrun/early, whose first line is `#!/usr/sbin/vsrun --args`.
# The module also copies vsrun, the service's COMMAND with its libraries, and each file of a comment `# file: PATH`.

early=${VSRUN_EARLY:-/etc/vsrun/early}

check() {
    local service
    for service in "$early"/*; do
        [[ ! -x $service ]] || return 0
    done
    return 1
}

depends() {
    echo base
}

install() {
    local service file
    for service in "$early"/*; do
        [[ -x $service ]] || continue
        inst_simple "$service" "/etc/vsrun/early/${service##*/}"
        inst_multiple "$(sed -n '1s/^#! *\([^ ]*\).*/\1/p' "$service")" \
            "$(sed -n '/^[[:blank:]]*--[[:blank:]]*$/{n;s/^[[:blank:]]*//;s/[[:blank:]]*$//;p;q;}' "$service")"
        while read -r file; do
            inst "$file"
        done < <(sed -n 's/^# file: *//p' "$service")
    done
    inst_hook pre-mount 50 "$moddir/start-early.sh"
}
