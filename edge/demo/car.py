"""A car's battery as a charger sees it: how much power it takes now. Pure."""

from __future__ import annotations

import msgspec


class Car(msgspec.Struct):
    """Takes full power to 80 %, then ever less: the shape that every driver knows from the display."""

    capacity_wh: float = 58_000.0  #: a middle-class battery
    soc: float = 0.35  #: state of charge, 0 … 1
    power_max_w: float = 11_000.0  #: three phases at 16 A

    def power_w(self, offered_w: float) -> float:
        """What the car draws when the charger offers `offered_w`."""
        if self.soc >= 1.0:
            return 0.0
        taper = 1.0 if self.soc < 0.8 else max(0.08, (1.0 - self.soc) / 0.2)
        return min(offered_w, self.power_max_w * taper)

    def draw(self, offered_w: float, seconds: float) -> float:
        """Charge for `seconds`; returns the energy that went through the meter, in Wh."""
        energy_wh = self.power_w(offered_w) * seconds / 3600.0
        self.soc = min(1.0, self.soc + energy_wh * 0.92 / self.capacity_wh)  # 8 % is lost on the way in
        return energy_wh
