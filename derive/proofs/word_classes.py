"""Classes of words that exclude one another: a quote with a different word of the class contradicts the value.

Each block is a class; words on one line are synonyms.
"""

from derive.proofs.stems import stem

_CLASSES = """
red crimson scarlet ruby
blue azure navy cobalt
green emerald
yellow
orange
purple violet
brown
black
white
grey
pink
turquoise teal
gold golden
silver silvery
hazel
amber
blond blonde

male man boy masculine he
female woman girl feminine she

north northern northward
south southern southward
east eastern eastward
west western westward

left
right

monday
tuesday
wednesday
thursday
friday
saturday
sunday

daily
weekly
fortnightly biweekly
monthly
quarterly
annually annual yearly

father dad
mother mum mom
brother
sister
son
daughter
husband
wife
uncle
aunt
nephew
niece
grandfather
grandmother
cousin

doctor physician medic
lawyer attorney solicitor barrister
engineer
teacher schoolteacher professor lecturer
farmer
pilot aviator
nurse
mechanic
merchant trader
smuggler
carpenter joiner
architect
journalist reporter
painter
poet
novelist author writer
actor actress
singer vocalist
dentist
surgeon
accountant bookkeeper
banker
baker
butcher
chef cook
soldier
sailor
fisherman fisher
miner
blacksmith smith
tailor
librarian
chemist pharmacist
physicist
biologist
mathematician
economist
historian
philosopher
astronomer
geologist
policeman policewoman
detective
judge
politician
diplomat
waiter waitress
translator interpreter
sculptor
photographer
musician
composer
conductor
electrician
plumber
bricklayer

captain
colonel
major
lieutenant
sergeant
admiral
commodore
commander
general
corporal

desert arid
jungle rainforest
arctic icy frozen
temperate
tropical
swampy swamp marsh
volcanic
oceanic ocean

oral orally mouth
intravenous intravenously iv
subcutaneous subcutaneously
intramuscular intramuscularly
topical topically
inhaled inhalation

mild
moderate
severe

acute
chronic

benign
malignant

positive
negative

increase rise grow
decrease fall decline drop

open
closed shut

approved approve accepted granted passed adopted
rejected reject refused refuse

allowed upheld granted
dismissed

primary
secondary replica

passed pass
failed fail

win won victory winner
lose lost loss defeat

guilty convicted convict
innocent acquitted acquit

alive living
dead deceased died

single unmarried bachelor
married marry
divorced divorce
widowed widow widower

employed
unemployed jobless

fixed
variable floating

public
private

buyer purchaser
seller vendor

landlord lessor
tenant lessee

plaintiff claimant
defendant respondent

borrower
lender

heavy
light

internal
external

upper
lower

full-time
part-time

goalkeeper keeper
defender
midfielder
striker forward

debug
info
warning warn
error
fatal critical

tcp
udp

spring
summer
autumn
winter

gold golden
silver
bronze

solid
liquid
gas gaseous

bachelor
master
doctorate phd

iron
copper
bronze
steel
aluminium
wood wooden timber
stone
brick
concrete
glass
plastic

oxygen
nitrogen
hydrogen
methane
helium
carbon

frigate
freighter
cruiser
destroyer
corvette
yacht
barge
tug tugboat
submarine

diabetes
asthma
pneumonia
tuberculosis
malaria
hypertension
hypotension
influenza flu
measles
cancer carcinoma
stroke
epilepsy
migraine
anaemia
hepatitis
arthritis

penicillin
latex
aspirin
ibuprofen
paracetamol acetaminophen
metformin
insulin
warfarin
morphine
codeine
amoxicillin
lisinopril
atorvastatin

monarchy
republic
democracy
dictatorship

monogamous
polygamous

herbivore herbivorous
carnivore carnivorous
omnivore omnivorous

lightsaber
blaster
rifle
pistol
sword
bow
spear
axe
dagger knife

ambient
refrigerated
"""


def _read() -> tuple[dict[str, tuple[int, int]], ...]:
    """Return each word's class and line by stem, in as many mappings as the most classes a word belongs to."""
    mappings: list[dict[str, tuple[int, int]]] = [{}, {}]
    for number, block in enumerate(_CLASSES.strip().split("\n\n")):
        for line_number, line in enumerate(block.splitlines()):
            for word in line.split():
                mapping = mappings[0] if stem(word) not in mappings[0] else mappings[1]
                mapping[stem(word)] = (number, line_number)
    return tuple(mappings)


_BY_WORD, _BY_WORD_TOO = _read()


def classes_of(word: str) -> tuple[tuple[int, int], ...]:
    """Return the classes of a stem, each with its line of synonyms."""
    first = _BY_WORD.get(word)
    if first is None:
        return ()
    second = _BY_WORD_TOO.get(word)
    return (first,) if second is None else (first, second)
