"""Parts of the ZGR23 plugin, `scrframe.builtin.zgr23`."""
