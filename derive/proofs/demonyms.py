"""Countries with their demonyms and adjectives."""

_TABLE = """
afghanistan afghan
albania albanian
algeria algerian
argentina argentine argentinian
australia australian aussie
austria austrian
bangladesh bangladeshi
belgium belgian
bolivia bolivian
brazil brazilian
bulgaria bulgarian
cambodia cambodian
canada canadian
chile chilean
china chinese
colombia colombian
croatia croatian croat
cuba cuban
cyprus cypriot
czechia czech
denmark danish dane
egypt egyptian
england english
estonia estonian
ethiopia ethiopian
finland finnish finn
france french frenchman frenchwoman
germany german
ghana ghanaian
greece greek
hungary hungarian
iceland icelandic icelander
india indian
indonesia indonesian
iran iranian persian
iraq iraqi
ireland irish irishman
israel israeli
italy italian
jamaica jamaican
japan japanese
jordan jordanian
kenya kenyan
korea korean
latvia latvian
lebanon lebanese
libya libyan
lithuania lithuanian
luxembourg luxembourgish
malaysia malaysian
malta maltese
mexico mexican
morocco moroccan
nepal nepalese nepali
netherlands dutch holland
nigeria nigerian
norway norwegian
pakistan pakistani
peru peruvian
philippines filipino philippine
poland polish pole
portugal portuguese
romania romanian
russia russian
scotland scottish scot scots
senegal senegalese
serbia serbian serb
singapore singaporean
slovakia slovak slovakian
slovenia slovenian slovene
somalia somali
spain spanish spaniard
sudan sudanese
sweden swedish swede
switzerland swiss
syria syrian
taiwan taiwanese
thailand thai
tunisia tunisian
turkey turkish turk
uganda ugandan
ukraine ukrainian
usa american us
uk british briton
uruguay uruguayan
venezuela venezuelan
vietnam vietnamese
wales welsh
yemen yemeni
"""
COUNTRY_OF = {word: line.split()[0] for line in _TABLE.strip().splitlines() for word in line.split()}
