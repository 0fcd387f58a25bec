"""A long conversation with facts planted in it, for `benchmarks/memory.py` and its small version among the tests.

The facts are what visitors let fall in passing; the questions ask for them in other words. Both were written before the
memory was, and neither has been changed since. Everything around them is small talk of a coffee shop's desk: questions,
thanks, and remarks that are statements too. The same seed makes the same conversation.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

SEED = 20261125
TURNS = 300
TAIL = 20  # the last turns hold no fact: they are what the model is shown anyway

FACTS: dict[str, tuple[tuple[str, str], ...]] = {
    "en": (
        (
            "By the way, my dog chewed the power cord of the grinder, so it isn't a factory fault.",
            "What did I say had happened to the cable?",
        ),
        (
            "I'm severely allergic to hazelnut, so nothing with nuts for me please.",
            "Which food must I avoid for health reasons?",
        ),
        ("We moved to Bergen last month, the old Oslo flat is sold.", "Which city do I live in these days?"),
        ("My order number is NW-48213.", "Can you repeat the reference of the purchase we talked about?"),
        (
            "I can only take calls after six in the evening because I teach during the day.",
            "At what time am I reachable by phone?",
        ),
        (
            "The machine is a birthday present for my father, he turns seventy on 9 May.",
            "Who is the gift meant for and when does he celebrate?",
        ),
        ("The courier left it with the neighbour at number 14.", "Where did the delivery man drop my parcel off?"),
        ("I paid with my wife's Visa, not with my own account.", "Whose card was charged?"),
        (
            "Our office has twelve people and we get through two kilos of beans a week.",
            "How much coffee does my team consume?",
        ),
        ("I drink decaf only since my heart operation.", "Why can't I have caffeine?"),
        ("The water here is very hard, about 20 degrees.", "How much lime is there in my tap water?"),
        ("I bought the kettle in the Rotterdam shop, not online.", "At which branch did I get it?"),
        ("I lost the receipt when we redecorated the kitchen.", "What became of my proof of purchase?"),
        ("I prefer dark roasts, anything sour upsets my stomach.", "What kind of taste do I like in coffee?"),
        ("The display shows E7 whenever I start the steam.", "Which error came up on the screen?"),
        ("I'll be in Portugal from 3 to 17 July.", "When am I away on holiday this summer?"),
        ("The first replacement arrived with a cracked lid.", "What was wrong with the item you sent in exchange?"),
        (
            "Your colleague on the phone, Marta, promised me a twenty percent voucher.",
            "What discount was I offered, and by which employee?",
        ),
        (
            "I am left-handed, so the handle has to be on the other side.",
            "Is there anything special about how I hold things?",
        ),
        ("Our company's VAT id is NL004495445B01.", "What tax number has to be on the invoice?"),
    ),
    "zh": (
        ("对了，电源线是被我家狗咬断的，不是出厂的问题。", "我说过那根线是怎么坏的来着？"),
        ("我对榛子严重过敏，带坚果的都不要推荐给我。", "我有什么东西是不能吃的？"),
        ("我们上个月搬到苏州了，杭州的房子已经卖了。", "我现在住在哪个城市？"),
        ("我的订单号是NW-48213。", "之前说的那笔单子编号是多少？"),
        ("我白天要上课，只有晚上六点以后方便接电话。", "什么时候打给我合适？"),
        ("这台咖啡机是送给我爸的生日礼物，他五月九号过七十大寿。", "这个是买给谁的，哪天要用？"),
        ("快递员把箱子放在14号邻居家了。", "送货的把我的包裹搁哪儿了？"),
        ("当时付款用的是我太太的信用卡，不是我自己的。", "那次是刷谁的卡？"),
        ("我们办公室有十二个人，一个星期要喝掉两公斤豆子。", "我们公司每周的咖啡用量有多大？"),
        ("自从做了心脏手术，我只能喝低因的。", "我为什么不能碰咖啡因？"),
        ("我们这边水质特别硬，大概20度。", "我家自来水的硬度是多少？"),
        ("水壶是在成都春熙路的门店买的，不是网上下的单。", "我是在哪家实体店拿的货？"),
        ("厨房装修的时候小票弄丢了。", "我的购物凭证去哪了？"),
        ("我喜欢深烘的，喝酸的胃不舒服。", "我平时爱喝什么口味？"),
        ("一打蒸汽，屏幕上就显示E7。", "显示屏报的是什么错误代码？"),
        ("七月3号到17号我要去云南，不在家。", "我夏天哪段时间出门旅游？"),
        ("你们第一次换给我的那个，盖子是裂的。", "补发的那件有什么毛病？"),
        ("电话里那位叫小玛的同事答应给我一张八折券。", "谁承诺过给我优惠，优惠多少？"),
        ("我是左撇子，把手得装在另一边。", "我用东西的习惯有什么特别的？"),
        ("发票上要写我们公司的税号91310115MA1K3X7Y2P。", "开票要填的纳税人识别号是什么？"),
    ),
}

_THINGS = {
    "en": (
        "grinder", "kettle", "espresso machine", "French press", "milk frother", "paper filters", "scale",
        "travel mug", "Ethiopian beans", "descaler", "water tank", "steam wand", "drip tray", "cold brew jug",
    ),
    "zh": (
        "磨豆机", "手冲壶", "意式咖啡机", "法压壶", "奶泡器", "滤纸", "电子秤", "随行杯", "埃塞俄比亚豆", "除垢剂", "水箱",
        "蒸汽棒", "接水盘", "冷萃壶",
    ),
}  # fmt: skip

# what is said about a thing, and what is answered
_ABOUT: dict[str, tuple[tuple[str, str], ...]] = {
    "en": (
        ("How do I clean the {x}?", "Rinse it with warm water after each use and let it dry. No dishwasher, please."),
        ("Is the {x} still in stock?", "Yes, it ships within two working days."),
        ("How long is the warranty on the {x}?", "Two years from the day of delivery."),
        ("Does the {x} come in white?", "It comes in black and in steel; white is not planned at the moment."),
        ("Can I return the {x} if I don't like it?", "You can send it back within 30 days, also when it was opened."),
        ("What does shipping cost for the {x}?", "It is free above 50 euros, otherwise 4.90."),
        ("Do you have a video about the {x}?", "There is one on the product's page, under Help."),
        ("Which {x} would you take for two people?", "The small one is enough for two cups at a time."),
        ("The {x} sounds a bit loud to me.", "Up to 70 decibels is normal. If it rattles, please send us a recording."),
        ("My sister has the same {x} and is happy with it.", "That is good to hear!"),
        ("I saw the {x} cheaper somewhere else.", "We match prices of shops in the EU: send us the link."),
        ("The manual of the {x} says something different.", "Then the manual is right for your version; ours is newer."),
        ("I've read the page about the {x} now.", "Good. Is there anything that is still open?"),
        ("And for the {x}, which spare parts are there?", "Seals and the lid can be ordered separately."),
        ("Would the {x} work in a caravan?", "It needs 230 volts and 1,200 watts."),
        ("How heavy is the {x}?", "About one and a half kilos."),
        ("Can the {x} be engraved?", "Not by us, but the steel is suitable for it."),
        ("I've put the {x} in the basket.", "Fine. The basket keeps it for seven days."),
        ("Is there a newer version of the {x} coming?", "Nothing has been announced."),
        ("The colour of the {x} is nicer than in the picture.", "Thank you, we will pass it on."),
    ),
    "zh": (
        ("{x}怎么清洗？", "每次用完用温水冲一下，晾干就行，不要放洗碗机。"),
        ("{x}还有货吗？", "有的，两个工作日内发货。"),
        ("{x}保修多久？", "从签收那天起两年。"),
        ("{x}有白色的吗？", "有黑色和不锈钢色，白色目前没有计划。"),
        ("{x}不喜欢可以退吗？", "30天内可以退，拆封了也可以。"),
        ("买{x}运费多少？", "满300元包邮，不满收15元。"),
        ("有没有{x}的教学视频？", "商品页面的帮助栏里有一个。"),
        ("两个人用选哪款{x}？", "小号一次两杯，够用了。"),
        ("{x}声音有点大。", "70分贝以内是正常的，如果有异响请录一段发给我们。"),
        ("我姐也有一个{x}，她说挺好用的。", "那太好了！"),
        ("我看到别家{x}更便宜。", "我们支持比价，把链接发过来就行。"),
        ("{x}的说明书写的跟您讲的不一样。", "以您手上那版说明书为准，我们这份比较新。"),
        ("{x}的介绍我看完了。", "好的，还有什么不清楚的吗？"),
        ("{x}有哪些配件可以单独买？", "密封圈和盖子都可以单独订。"),
        ("{x}在房车上能用吗？", "需要220伏、1200瓦的电源。"),
        ("{x}有多重？", "大约一公斤半。"),
        ("{x}可以刻字吗？", "我们不做刻字，不过钢材是可以刻的。"),
        ("{x}我已经加到购物车了。", "好的，购物车会保留七天。"),
        ("{x}会出新款吗？", "目前没有消息。"),
        ("{x}的颜色比图片上好看。", "谢谢，我们会转告同事。"),
    ),
}  # fmt: skip

_PLAIN: dict[str, tuple[tuple[str, str], ...]] = {
    "en": (
        ("Thanks, that helps.", "You're welcome!"),
        ("Okay, I'll try that.", "Let me know how it goes."),
        ("One moment please.", "Of course, take your time."),
        ("Sorry, I was called away. Where were we?", "We were talking about your last question. Shall we go on?"),
        ("What are your opening hours?", "Our shops are open from Monday to Saturday, 9 to 18."),
        ("Do you ship to Switzerland?", "Yes, within five working days; customs are not included."),
        ("Which payment methods do you take?", "Cards, PayPal, and invoice for companies."),
        ("How do I change the address of an order?", "Before it has left us: under My orders, Change."),
        ("Do you offer courses?", "Twice a month in the shop in Hamburg."),
        ("My browser logged me out again.", "Please allow cookies for our site."),
        ("The website is quite slow today.", "There is maintenance until noon, sorry about that."),
        ("I got your newsletter this morning.", "Nice! You can unsubscribe at any time at its end."),
        ("It has been raining here all week.", "Then it is the right time for a good cup."),
        ("I'll think about it over the weekend.", "Take your time, the offer stands until Tuesday."),
        ("How do I redeem a voucher?", "Enter its code in the last step of the order."),
        ("Is your packaging recyclable?", "Yes, cardboard and paper only."),
    ),
    "zh": (
        ("谢谢，明白了。", "不客气！"),
        ("好的，我试试。", "有结果告诉我们一声。"),
        ("稍等一下。", "好的，您慢慢来。"),
        ("不好意思刚才走开了，说到哪了？", "刚才在说您上一个问题，要继续吗？"),
        ("你们几点营业？", "门店周一到周六，上午九点到下午六点。"),
        ("能寄到香港吗？", "可以，五个工作日左右，不含关税。"),
        ("支持哪些支付方式？", "微信、支付宝、银行卡，公司可以对公转账。"),
        ("下单之后怎么改地址？", "发货前可以在我的订单里修改。"),
        ("你们有咖啡课吗？", "每月两次，在上海的门店。"),
        ("浏览器又把我登出了。", "请允许本网站使用Cookie。"),
        ("今天网站有点慢。", "中午之前在维护，抱歉。"),
        ("早上收到了你们的推送。", "好的，不想收可以随时退订。"),
        ("这边下了一个星期的雨。", "正好喝杯热咖啡。"),
        ("我周末再考虑一下。", "不着急，活动到周二。"),
        ("代金券怎么用？", "结算的最后一步输入券码。"),
        ("你们的包装可以回收吗？", "可以，都是纸的。"),
    ),
}

_REPLIES = {
    "en": ("Thank you, I have noted that.", "Understood.", "I see, thank you for telling me.", "All right."),
    "zh": ("好的，已经记下了。", "明白。", "了解，谢谢您告诉我。", "好的。"),
}


@dataclass(frozen=True)
class Exchange:
    """What the visitor said and what was answered. `asked`: the question in other words, where a fact was planted."""

    said: str
    answered: str
    asked: str = ""


def conversation(language: str, turns: int = TURNS, facts: int = 20, seed: int = SEED) -> list[Exchange]:
    """`turns` exchanges with the first `facts` facts at chance places before the last `TAIL`."""
    chance = random.Random(f"{seed}:{language}")
    filler = _filler(language, chance)
    told = [Exchange(*next(filler)) for _ in range(turns)]
    places = chance.sample(range(turns - TAIL), facts)
    for place, (fact, asked) in zip(places, FACTS[language][:facts], strict=True):
        told[place] = Exchange(fact, chance.choice(_REPLIES[language]), asked)
    return told


def _filler(language: str, chance: random.Random) -> Iterator[tuple[str, str]]:
    """Endless small talk: most of it about a thing, never twice the same until everything was said."""
    while True:
        about = [(said.format(x=thing), answered) for said, answered in _ABOUT[language] for thing in _THINGS[language]]
        chance.shuffle(about)
        for said in about:
            if chance.random() < 0.25:
                yield chance.choice(_PLAIN[language])
            yield said
