"""Units of measure and currencies as written in prose, with factors to the base unit of their dimension.

Pint was measured and rejected: it takes half a second to import and 0.4 ms per expression, and it evaluates its input
(``9**9**7`` took three seconds).
"""

from decimal import Decimal
from typing import NamedTuple

from derive.proofs.reading import Reading


class Unit(NamedTuple):
    """A unit: its dimension, its factor to the dimension's base unit, and its name for operators."""

    dimension: str
    factor: Decimal
    name: str
    offset: Decimal = Decimal(0)


_TABLE = """
length 1 m: m metre metres meter meters mtr mtrs
length 1000 km: km kms kilometre kilometres kilometer kilometers klick klicks
length 0.01 cm: cm cms centimetre centimetres centimeter centimeters
length 0.001 mm: mm millimetre millimetres millimeter millimeters
length 0.000001 µm: μm um micron microns micrometre micrometres micrometer micrometers
length 0.000000001 nm: nm nanometre nanometres nanometer nanometers
length 0.3048 ft: ft foot feet
length 0.0254 in: in inch inches
length 0.9144 yd: yd yds yard yards
length 1609.344 mi: mi mile miles
length 1852 nautical miles: nmi
length 149597870700 AU: au
length 9460730472580800 light years: ly lightyear lightyears
length 30856775814913673 pc: pc parsec parsecs
mass 1000 kg: kg kgs kilo kilos kilogram kilograms kilogramme kilogrammes
mass 1 g: g gram grams gramme grammes
mass 0.001 mg: mg mgs milligram milligrams milligramme milligrammes
mass 0.000001 µg: μg ug mcg microgram micrograms
mass 1000000 t: t tonne tonnes
mass 1000000 tons: ton tons
mass 453.59237 lb: lb lbs
mass 28.349523125 oz: oz ounce ounces
mass 6350.29318 st: stone
time 1 s: s sec secs second seconds
time 0.001 ms: ms msec millisecond milliseconds
time 0.000001 µs: μs us microsecond microseconds
time 60 min: min mins minute minutes
time 3600 h: h hr hrs hour hours
time 86400 days: day days d
time 604800 weeks: week weeks wk wks
months 1 months: month months mo mos
months 12 years: year years yr yrs y
months 120 decades: decade decades
months 1200 centuries: century centuries
area 1 m²: m2 sqm
area 1000000 km²: km2 sqkm
area 0.0001 cm²: cm2
area 0.09290304 sq ft: ft2 sqft
area 10000 ha: ha hectare hectares
area 4046.8564224 acres: acre acres
volume 1 l: l litre litres liter liters ltr
volume 0.001 ml: ml millilitre millilitres milliliter milliliters cc
volume 0.01 cl: cl centilitre centilitres
volume 0.1 dl: dl decilitre decilitres deciliter
volume 100 hl: hl hectolitre hectolitres
volume 1000 m³: m3 cbm
volume 3.785411784 US gal: gal gallon gallons
volume 158.987294928 barrels: bbl barrel barrels
volume 0.568261 pints: pint pints
speed 0.277777777777777778 km/h: kmh kph
speed 0.44704 mph: mph
speed 0.514444444444444444 knots: kn kt kts knot knots
power 1 W: w watt watts
power 1000 kW: kw kilowatt kilowatts
power 1000000 MW: mw megawatt megawatts
power 1000000000 GW: gw gigawatt gigawatts
power 745.7 hp: hp bhp horsepower
energy 1 J: j joule joules
energy 1000 kJ: kj kilojoule kilojoules
energy 1000000 MJ: mj megajoule megajoules
energy 4184 kcal: kcal kilocalorie kilocalories calorie calories
energy 3600000 kWh: kwh
energy 3600000000 MWh: mwh
energy 3600000000000 GWh: gwh
pressure 1 Pa: pa pascal pascals
pressure 100 hPa: hpa
pressure 1000 kPa: kpa
pressure 1000000 MPa: mpa
pressure 100000 bar: bar bars
pressure 100 mbar: mbar millibar millibars
pressure 133.322387415 mmHg: mmhg
pressure 6894.757293168 psi: psi
pressure 101325 atm: atm
frequency 1 Hz: hz hertz
frequency 1000 kHz: khz
frequency 1000000 MHz: mhz megahertz
frequency 1000000000 GHz: ghz gigahertz
data 1 B: byte bytes
data 1000 kB: kb kilobyte kilobytes
data 1000000 MB: mb megabyte megabytes
data 1000000000 GB: gb gigabyte gigabytes
data 1000000000000 TB: tb terabyte terabytes
data 1000000000000000 PB: pb petabyte petabytes
data 1024 KiB: kib
data 1048576 MiB: mib
data 1073741824 GiB: gib
data 1099511627776 TiB: tib
voltage 1 V: v volt volts
voltage 1000 kV: kv kilovolt kilovolts
voltage 0.001 mV: mv millivolt millivolts
current 1 A: amp amps ampere amperes
current 0.001 mA: ma milliamp milliamps
charge 1 mAh: mah
sound 1 dB: db decibel decibels
amount 1 mol: mol mole moles
amount 0.001 mmol: mmol millimole millimoles
activity 1 IU: iu
pulse 1 bpm: bpm
rotation 1 rpm: rpm
force 1 N: newton newtons
force 1000 kN: kilonewton kilonewtons
angle 1 °: degree degrees deg
percent 1 %: % percent pct percentage
percent 0.01 basis points: bp bps
percent 0.1 ‰: ‰ permille
points 1 percentage points: pp ppt
parts 1 ppm: ppm
parts 0.001 ppb: ppb
resolution 1 MP: mp megapixel megapixels
money:USD 1 USD: $ usd dollar dollars us$ buck bucks
money:USD 0.01 US cents: cent cents ¢
money:EUR 1 EUR: € eur euro euros
money:GBP 1 GBP: £ gbp sterling quid
money:GBP 0.01 pence: pence penny
money:JPY 1 JPY: ¥ jpy yen
money:INR 1 INR: ₹ inr rupee rupees rs
money:CHF 1 CHF: chf franc francs
money:CNY 1 CNY: cny rmb yuan renminbi
money:KRW 1 KRW: ₩ krw
money:RUB 1 RUB: ₽ rub rouble roubles ruble rubles
money:TRY 1 TRY: ₺ lira
money:SEK 1 SEK: sek krona kronor
money:NOK 1 NOK: nok
money:DKK 1 DKK: dkk
money:PLN 1 PLN: pln zloty
money:CAD 1 CAD: cad c$
money:AUD 1 AUD: aud a$
money:NZD 1 NZD: nzd nz$
money:SGD 1 SGD: sgd s$
money:HKD 1 HKD: hkd hk$
money:MXN 1 MXN: mxn
money:BRL 1 BRL: brl r$
money:ZAR 1 ZAR: zar rand
money:CREDIT 1 credits: credit credits
"""


def _read_table() -> dict[str, Unit]:
    units: dict[str, Unit] = {}
    for line in _TABLE.strip().splitlines():
        head, spellings = line.rsplit(": ", 1)
        dimension, factor, name = head.split(" ", 2)
        for spelling in spellings.split():
            units[spelling] = Unit(dimension, Decimal(factor), name)
    return units


UNITS = _read_table()
CELSIUS = Unit("temperature", Decimal(1), "°C", Decimal("273.15"))
FAHRENHEIT = Unit("temperature", Decimal(5) / 9, "°F", Decimal("255.372222222222222"))
KELVIN = Unit("temperature", Decimal(1), "K")
POUND = Unit("pound", Decimal(1), "pounds")
"""A pound of weight or of money, comparable with either."""
_PERCENT = UNITS["%"]
_POINTS = UNITS["pp"]
SYMBOLS = frozenset("$€£¥₹₩₽₺")
CURRENCY_CODES = frozenset(
    word for word, unit in UNITS.items() if unit.dimension.startswith("money") and len(word) == 3
)
_TEMPERATURES = {"c": CELSIUS, "celsius": CELSIUS, "centigrade": CELSIUS, "f": FAHRENHEIT, "fahrenheit": FAHRENHEIT}
_TEMPERATURES |= {"k": KELVIN, "kelvin": KELVIN}
_POWERS = {"square": "2", "sq": "2", "cubic": "3", "cu": "3"}
_SHORT = {
    "metre": "m",
    "metres": "m",
    "meter": "m",
    "meters": "m",
    "kilometre": "km",
    "kilometres": "km",
    "kilometer": "km",
    "kilometers": "km",
    "centimetre": "cm",
    "centimetres": "cm",
    "centimeter": "cm",
    "centimeters": "cm",
    "foot": "ft",
    "feet": "ft",
    "m": "m",
    "km": "km",
    "cm": "cm",
    "ft": "ft",
}
_AREA_OF_MILE = Unit("area", Decimal("2589988.110336"), "sq mi")
_VOLUME_OF_FOOT = Unit("volume", Decimal("28.316846592"), "cu ft")
_MEASURED = frozenset("tall long wide high deep thick across diameter apart".split())
_PER = frozenset({"per", "/", "an", "a"})
_TWO_WORDS = {
    **{("us", word): UNITS["usd"] for word in ("dollar", "dollars", "$")},
    **{("canadian", word): UNITS["cad"] for word in ("dollar", "dollars")},
    **{("australian", word): UNITS["aud"] for word in ("dollar", "dollars")},
    **{("swiss", word): UNITS["chf"] for word in ("franc", "francs")},
    **{("light", word): UNITS["ly"] for word in ("year", "years")},
    **{("nautical", word): UNITS["nmi"] for word in ("mile", "miles")},
    **{("metric", word): UNITS["t"] for word in ("ton", "tons", "tonne", "tonnes")},
    **{("fluid", word): Unit("volume", Decimal("0.0295735"), "fl oz") for word in ("ounce", "ounces")},
    ("mm", "hg"): UNITS["mmhg"],
}
_CAPITAL_SYMBOLS = {"c": CELSIUS, "f": FAHRENHEIT, "k": KELVIN}
_NEED_GLUE = frozenset({"d", "y", "us", "pa", "ma", "mo", "pc", "au", "mi", "pb", "kn", "mp"})
"""Spellings that are also words: a unit only if directly attached to the number or in the unit's exact case."""


def unit_named(name: str) -> Unit | None:
    """Return the unit that a setting or key names ("m", "km/h", "°C", "USD"), or None if unknown."""
    wanted = name.strip()
    if not wanted:
        return None
    temperature = _TEMPERATURES.get(wanted.lower().removeprefix("°").strip())
    if temperature:
        return temperature
    found = unit_at(Reading("1 " + wanted), 1)
    return found[0] if found else UNITS.get(wanted.lower())


def unit_at(reading: Reading, at: int) -> tuple[Unit, int] | None:
    """Return the unit that begins at this token, and the token after it."""
    found = _simple_unit_at(reading, at)
    if found is None:
        return None
    unit, end = found
    if unit.dimension in {"percent", "points", "temperature", "pound"} or end >= len(reading.low):
        return unit, end
    return _with_power_or_rate(reading, unit, end)


def _simple_unit_at(reading: Reading, at: int) -> tuple[Unit, int] | None:  # noqa: C901 (cases of one table)
    low = reading.low
    if at >= len(low):
        return None
    word = low[at]
    following = low[at + 1] if at + 1 < len(low) else ""
    if word == "°" or word in {"degrees", "degree"}:
        if following in _TEMPERATURES:
            return _TEMPERATURES[following], at + 2
        return UNITS["degrees"], at + 1
    if word == "per":
        return (_PERCENT, at + 2) if following in {"cent", "cents"} else None
    if word in {"percentage", "percent", "%", "basis"} and following in {"point", "points"}:
        return (UNITS["bps"] if word == "basis" else _POINTS), at + 2
    if word in {"pound", "pounds"}:
        return (UNITS["gbp"], at + 2) if following == "sterling" else (POUND, at + 1)
    if word in _POWERS:
        return _powered(word, following, at)
    if word == "light" and following == "-" and reading.word(at + 2) in {"year", "years"}:
        return UNITS["ly"], at + 3
    if (word, following) in _TWO_WORDS:
        return _TWO_WORDS[word, following], at + 2
    if word == "in" and not _means_inches(reading, at):
        return None
    unit = UNITS.get(word)
    if unit is None:
        return (_CAPITAL_SYMBOLS[word], at + 1) if word in _CAPITAL_SYMBOLS and reading.raw[at].isupper() else None
    if word in _NEED_GLUE and not (reading.is_glued(at) or reading.raw[at].isupper()):
        return None
    return unit, at + 1


def _means_inches(reading: Reading, at: int) -> bool:
    following = reading.word(at + 1)
    return reading.is_glued(at) or not following or not following.isalnum() or following in _MEASURED


def _powered(word: str, following: str, at: int) -> tuple[Unit, int] | None:
    if word in {"square", "sq"} and following in {"mile", "miles", "mi"}:
        return _AREA_OF_MILE, at + 2
    if word in {"cubic", "cu"} and following in {"foot", "feet", "ft"}:
        return _VOLUME_OF_FOOT, at + 2
    unit = UNITS.get(_SHORT.get(following, "") + _POWERS[word])
    return (unit, at + 2) if unit else None


def _with_power_or_rate(reading: Reading, unit: Unit, end: int) -> tuple[Unit, int]:
    low = reading.low
    word = low[end]
    if word in {"2", "3", "^"} and reading.is_glued(end):
        digit_at = end + 1 if word == "^" else end
        powered = UNITS.get(low[end - 1] + reading.word(digit_at))
        if powered:
            return powered, digit_at + 1
    if word in _PER:
        below = _simple_unit_at(reading, end + 1)
        if below and (word in {"per", "/"} or below[0].dimension in {"time", "months"}):
            return _rate(unit, below[0]), below[1]
    return unit, end


def _rate(unit: Unit, below: Unit) -> Unit:
    factor = unit.factor / below.factor
    if unit.dimension == "length" and below.dimension == "time":
        return Unit("speed", factor, f"{unit.name}/{below.name}")
    return Unit(f"{unit.dimension}/{below.dimension}", factor, f"{unit.name}/{below.name}")
