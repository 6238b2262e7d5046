"""Loads what firewalld makes of its configuration into this network namespace, and leaves it there.

It is firewalld's own code that does so, without its D-Bus service. Arguments: the packages' files, the configuration."""

import sys
import types

files, configuration = sys.argv[1:3]
sys.path.insert(0, files + "/usr/lib/python3/dist-packages")

# It asks NetworkManager, which is not there, over GLib, which need not be there.
nobody = types.ModuleType("firewall.core.fw_nm")
nobody.nm_get_bus_name = lambda: None
nobody.nm_get_interfaces_in_zone = lambda zone: []
sys.modules[nobody.__name__] = nobody

from firewall import config

config.set_default_config_paths(files + "/usr/lib/firewalld")
config.set_system_config_paths(configuration)

from firewall.core.fw import Firewall

firewall = Firewall()
firewall.start()
if firewall.get_state() != "RUNNING":
    sys.exit("firewalld: " + firewall.get_state())
