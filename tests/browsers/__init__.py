"""The browsers of this machine, and pages for them: `https://app.example` on loopback."""
