"""Which of ImageNet's 1,000 classes show which of nano's things: how the picture tower names photographs without having learnt any."""

_RANGES = """
dog 151-268; wolf 269-276; fox 277-280; cat 281-285; leopard 286-290,293; lion 291; tiger 292; bear 294,295,297; polar bear 296;
otter 360; rabbit 330-332; hamster 333,338; hedgehog 334; chipmunk 335,336; beaver 337; horse 339,603; zebra 340; pig 341-343;
hippopotamus 344; cow 345-347,690; sheep 348,349; goat 350; deer 351-353; camel 354; llama 355; sloth 364; gorilla 366; monkey
365,367-382; elephant 101,385,386; panda 388; raccoon 387; kangaroo 104; koala 105; fish 0,1,5,6,389-396; blowfish 397; shark
2-4; rooster 7; chicken 8; bird 9-20,23,80-83,85,86,91-96,127-129,131-144,146; eagle 21,22; owl 24; frog 30-32; turtle 33-37;
lizard 25-29,38-48; crocodile 49,50; dinosaur 51; snake 52-68; scorpion 71; spider 70,72-77; peacock 84; parrot 87-90; duck
97,98; goose 99; swan 100; jellyfish 107; coral 108,109,973; seashell 112,117; snail 113; crab 118-121,125; lobster 122-124;
flamingo 130; penguin 145; whale 147,148; seal 150; beetle 300,302-307; ladybug 301; fly 308; bee 309; ant 310; grasshopper
311,312; butterfly 321-326; spider web 815; daisy 985; mushroom 947,991-997; orange 950; lemon 951; banana 954; pineapple 953;
apple 948; strawberry 949; corn 987,998; cucumber 943; lettuce 936; broccoli 937; pretzel 932; bagel 931; hamburger 933; hot dog
934; pizza 963; burrito 965; baguette 930; spaghetti 959; ice cream 928; lollipop 929; waffle 891; chocolate bar 960; cup of
coffee 504,505,550,967,968; teapot 849; glass of wine 966; glass of beer 441; salt 773; fried egg 567; plate with fork and knife
923; spoon 910; kitchen knife 499; vase 725,883,899; compass 635; mountain 970,979; volcano 980; beach 977,978; brick wall 825;
castle 483,698; church 497,663; fountain 562; tent 672,915; carousel horse 476; locomotive 820; train 466,547,565,705,829; bus
654,779,874; ambulance 407; fire truck 555; police car 734; taxi 468; car 436,511,609,627,656,661,817; racing car 751; pickup
truck 717; delivery truck 675; truck 569,803,864,867; tractor 866; motorcycle 665,670; bicycle 444,671; gas pump 571; wheel 479;
traffic light 920; canoe 472; sailboat 484,780,871,914; ship 403,510,554,628,724,913; airplane 404,895,908; rocket 657,744,812;
parachute 701; hourglass 604; watch 531,826; clock 409,530,892; umbrella 879; halloween pumpkin 607; balloon 417; soccer ball
805; baseball 429,981; basketball 430; volleyball 890; tennis ball 752,852; golf flag 574; diving mask 801,983; sled 450,537;
skis 795; joystick 613; puzzle piece 611; teddy bear 850; theater masks 643; ball of yarn 911; eight ball 736; slot machine 800;
sunglasses 836,837; necktie 451,906; t-shirt 610; jeans 608; gloves 658; coat 568,617,869; socks 496,806; kimono 614; bikini
445; dress 578,601; handbag 748; backpack 414; flip-flop 774; sneaker 502,630,770; boot 514; top hat 515; sun hat 452,808;
graduation cap 667; lipstick 629; loudspeaker 632; bell 442; microphone 650; radio 754; saxophone 776; trumpet 513; accordion
401; guitar 402,546; piano keyboard 579,881; violin 486,889; drum 541,822; maracas 641; flute 558,699; phone 487,590; telephone
528,707; laptop 620,681; desktop computer 527,664,782; printer 713,742; keyboard 508,810,878; computer mouse 673; abacus 398;
television 548,598,851; camera 732,759; candle 470; envelope 549; mailbox 637; paintbrush 696; books 453,454,624; hammer 587;
axe 596; shield 787; screwdriver 784; nut and bolt 783; chains 488; scales 778; syringe 845; pill 720; bandage 419; stethoscope
823; door 799; window 904,905; sofa 831; chair 423,559,765,857; bed 516,520,564; toilet 861; shower 794; bathtub 435,876; broom
462; basket 588,790; bucket 463; soap 804; shopping cart 791; toilet paper 999; padlock 507,695; wastebasket 412; package 478;
ruler 769; money bag 719; satellite dish 755; house 449,660,853,858; test tube 438; bow and arrow 456; ribbon 457; factory 634;
jar 737,898,901; scarf 824; shorts 842; military helmet 715; mirror 475; ping pong paddle 722; ice hockey stick 746; american
football 768; red book 921; folder 446; wind chime 494; magnifying glass 633; potted plant 738; potato 935; meat 467,962; pie
964; candy 509; rock 649; saw 491; feather 749; fishing rod 758; toolbox 477; fire 862
"""


def thing_classes() -> dict[str, tuple[int, ...]]:
    """Thing's name -> indices of ImageNet classes."""
    found: dict[str, tuple[int, ...]] = {}
    for entry in _RANGES.replace("\n", " ").split(";"):
        name, _, spans = entry.strip().rpartition(" ")
        indices: list[int] = []
        for span in spans.split(","):
            first, _, last = span.partition("-")
            indices += range(int(first), int(last or first) + 1)
        found[name] = tuple(indices)
    return found
