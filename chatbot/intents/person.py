"""Whether a visitor asks for a person. Rules, not a model: asking must always work, in any mood and before any refusal."""

import re
import unicodedata

from workspace.chinese import simplified

_PEOPLE = (
    r"(?:human|person|people|agent|operator|representative|rep|someone|somebody|staff|employee|advisor|adviser|"
    r"manager|supervisor)"
)
_REAL = r"(?:real|live|actual|human)"
_ASKS = (
    # English
    rf"\b(?:talk|speak|chat)\b[^.?!]{{0,15}}\b(?:to|with)\b[^.?!]{{0,25}}\b{_PEOPLE}\b(?!\s+(?:else|who|that)\b)",
    rf"\b(?:connect|transfer|switch|pass|put|hand|get|escalate)\s+(?:me|us|this|it|the\s+chat|my\s+(?:case|chat|call))?\s*"
    rf"(?:on|over|through)?\s*(?:to|with)\b[^.?!]{{0,25}}\b{_PEOPLE}\b(?!\s+else\b)",
    rf"\b(?:want|need|like|prefer|get|give|find|have)\b[^.?!]{{0,15}}\b(?:a|an|some|the|your|any)?\s*{_REAL}\s+(?:\w+\s+)?{_PEOPLE}\b",
    r"\b(?:want|need|get|give)\b\s+(?:me\s+)?(?:a|an|some|your)\s+(?:human|person|agent|operator|representative)\b",
    r"\bcan\s+(?:a|an|some)\s*(?:human|real\s+person|person|one|body|agent)\b[^.?!]{0,20}\b(?:help|call|contact|answer|take)\b",
    rf"^\W*(?:(?:a|an|the)\s+)?(?:{_REAL}\s+)?(?:human|agent|operator|representative|live\s+(?:agent|chat|person|support)|real\s+person|human\s+(?:agent|support|please))\W*(?:please|now|pls)?\W*$",
    r"\b(?:customer\s+service|live)\s+(?:agent|representative|person)\b",
    r"\bnot\s+(?:a|another)\s+(?:bot|robot|machine)\b",
    r"\b(?:stop|enough|no\s+more)\s+(?:with\s+)?(?:the\s+|this\s+)?(?:bot|robot|chatbot)\b",
    # Chinese
    r"转(?:接)?(?:到|至|给|去|下|个)?\s*(?:人工|真人|活人|客服|专员|坐席|同事)",
    r"(?:人工|真人|活人)\s*(?:客服|服务|坐席|在吗|在不在|呢|介入|处理|接待|回复|帮忙)",
    r"(?:找|要|叫|换|联系|接通|请|帮我?|想跟|想和|需要|呼叫|安排)[^，。！？,.!?]{0,8}(?:人工(?!费|成本|智能|合成|呼吸|湖|草)|真人|活人|专员|坐席|人类)",
    r"(?:找|换|叫|来)(?:你们的?)?(?:一)?个?(?:人|客服|经理|领导|主管|负责人)(?:来|跟我|和我|说|聊|谈|处理|解决|出来|$|[，。！？,.!?])",
    r"(?:跟|和|与)(?:真)?人(?:工)?(?:说|聊|谈|沟通|讲)",
    r"^\W*(?:人工|真人|人工客服|转人工|客服|活人|接人工)\W*$",
    r"(?:不要|不想|别|不用)(?:再)?(?:跟|和|用|让)?\s*(?:机器人|AI|智能客服)",
)  # fmt: skip
_ASK = re.compile("|".join(f"(?:{rule})" for rule in _ASKS), re.IGNORECASE)
_UNLESS = re.compile(
    r"\b(?:don'?t|do\s+not|no\s+need\s+to|didn'?t)\s+(?:want|need|have)?\s*(?:to\s+)?(?:talk|speak|a\s+human|a\s+person|an\s+agent)"
    r"|(?:不用|不需要|无需|不必|先不|别)(?:再)?(?:转|找|要|叫|联系)?(?:接)?(?:人工|真人|客服)"
    r"|(?:人工|客服)(?:客服)?(?:几点|什么时候|时间|电话|多少|收费)",
    re.IGNORECASE,
)


def asks_for_person(text: str) -> bool:
    """Whether the message asks to be put through to a person."""
    text = simplified(unicodedata.normalize("NFKC", text))
    return _ASK.search(text) is not None and _UNLESS.search(text) is None
