"""Parts of the Gaia XP reference catalogue; `scrframe.builtin.gaia_xp` is the plugin."""
