"""What the reference harness's template environment makes of made-up templates, for packages/eval/test.

python tools/oracles/jinja_templates.py > packages/eval/test/fixtures/jinja-templates.json
"""

import json
import sys

from lm_eval.utils import apply_template

DOC = {
    "t": "hELLO éTÉ", "s": "  a b  c ", "e": "", "n": 3, "m": -7, "f": 18.0, "g": 2.5, "big": 9007199254740993, "yes": True, "no": False,
    "none": None, "l": ["b", "a", "C"], "k": [3, 1.0, 2], "d": {"b": 1, "a": "x"}, "ds": [{"v": 2, "w": "q"}, {"v": 1, "w": "r"}],
    "u": "😀é日本", "q": "it's \"q\"", "num": "12", "bad": "12abc", "neg": " -3.7 ", "lines": "a\nb\r\nc", "nested": [[1, 2.0], ["x", None, True]],
    "gap": "\u00a0\u2003x\ufeff\x85", "opts": {"A": "one", "B": "two"}, "w": "the quick-brown (fox) jumps", "sz": "straße",
}
TEMPLATES = [
    "{{t.capitalize()}}|{{t|title}}|{{t.strip('h')}}", "{{t|capitalize}}|{{t.title()}}|{{t.upper()}}|{{t.lower()}}", "{{w.title()}}|{{w|title}}",
    "{{sz.upper()}}|{{sz|upper}}", "[{{s.strip()}}][{{s.lstrip()}}][{{s.rstrip()}}][{{s|trim}}]", "[{{gap.strip()}}]", "{{t.strip('hÉ')}}|{{'xxaxx'.lstrip('x')}}|{{'xxaxx'.rstrip('x')}}",
    "{{s.split()}}|{{'a,b,c'.split(',')}}|{{'a,b,c'.split(',', 1)}}|{{'a b c'.rsplit(' ', 1)}}|{{' a b '.split(' ')}}", "{{'a,b,c'.split(',')[-1]}}", "{{lines.splitlines()}}",
    "{{n}} {{m}} {{f}} {{g}} {{big}} {{yes}} {{no}} {{none}}", "{{l}} {{k}} {{d}} {{ds}} {{nested}}", "{{q}} {{[q]}} {{['é\\n']}}", "{{1/3}} {{2/1}} {{7//2}} {{(-7)//2}} {{(-7)%3}} {{2**10}} {{2**-1}} {{7.5//2}}",
    "{{n+f}} {{n*2}} {{n-g}} {{big+1}} {{yes+1}}", "{{'a'*3}} {{l*2}} {{l+['z']}}", "{{n ~ f ~ none ~ yes ~ l}}", "{{1==1.0}} {{'1'==1}} {{yes==1}} {{l==['b','a','C']}} {{none==none}} {{d=={'a':'x','b':1}}}",
    "{{'a' in l}} {{'ell' in 'hello'}} {{'b' in d}} {{2 in k}} {{none in l}} {{4 not in k}}", "{{'a'<'b'}} {{2<=2.0}} {{'Z'<'a'}} {{[1,2]<[1,3]}}",
    "{{'yes' if n==3}}|{{'yes' if n==4}}|", "{{'yes' if n==4 else 'no'}}", "{% if not e %}empty{% endif %}{% if l %}full{% endif %}{% if f %}float{% endif %}", "{{e or 'fallback'}} {{n and 'x'}} {{none or none}}",
    "{% for x in l %}{{loop.index}}{{loop.index0}}{{loop.first}}{{loop.last}}{{x}};{% endfor %}", "{% for c in 'añ😀' %}{{c}}-{% endfor %}", "{% for k, v in d.items() %}{{k}}={{v}} {% endfor %}", "{% for x in k if x > 1 %}{{x}},{% endfor %}", "{% for x in [] %}x{% else %}none{% endfor %}",
    "{% for i in range(3) %}{{i}}{% endfor %}{% for i in range(5, 1, -2) %}{{i}}{% endfor %}", "{{u[0]}}{{u[1:3]}}{{u[::-1]}}{{u[-1]}}{{u|length}}", "{{l[0]}}{{l[-1]}}{{l[1:]}}{{l[:-1]}}{{l|length}}", "{{l|join(', ')}} {{k|join('-')}} {{u|join('.')}} {{nested|join('; ')}}",
    "{{ds|map(attribute='v')|list}} {{ds|map(attribute='w')|join('/')}} {{l|map('upper')|list}}", "{{l|first}}{{l|last}}{{l|sort}}{{l|sort(reverse=true)}}{{k|sort}}{{k|max}}{{k|min}}{{k|sum}}", "{{l|unique|list}} {{['a','A','b']|unique|list}} {{l|reverse|list}} {{'abc'|reverse}}",
    "{{num|int + 1}} {{bad|int}} {{neg|int}} {{neg|float}} {{'x'|int(5)}} {{g|int}} {{yes|int}} {{num|float}} {{n|float}}", "{{g|round}} {{3.14159|round(2)}} {{2.5|round}} {{3.5|round}} {{n|round}} {{2.4|round(method='ceil')}}", "{{f|string}}{{l|string}}{{none|string}}{{yes|string}}",
    "{{m|abs}} {{g|abs}}", "{{t|replace('E','e')}} {{t.replace('l','L',1)}} {{'aaa'|replace('a','b',2)}} {{'ab'.replace('','-')}}", "{{missing|default('x')}} {{missing|d}} {{none|default('y')}} {{e|default('z', true)}}", "{{missing is defined}} {{t is defined}} {{none is none}} {{t is string}} {{n is number}} {{d is mapping}}",
    "{{d|tojson}} {{q|tojson}} {{f|tojson}} {{l|tojson}}", "{{d|dictsort}} {{d|items|list}} {{d.keys()|list}} {{d.values()|list}} {{d.get('z', 'none')}} {{d['a']}} {{d.a}}", "{{l.index('a')}} {{'hello'.index('l')}} {{u.index('日')}} {{'hello'.find('z')}} {{u.find('本')}} {{'banana'.count('an')}} {{l.count('a')}}",
    "{{'num7'.isdigit()}} {{num.isdigit()}} {{'abc'.isalpha()}} {{'²'.isdigit()}}", "{{'prefix-x'.removeprefix('prefix-')}} {{'x.txt'.removesuffix('.txt')}}", "{{'a-b-c'.partition('-')}} {{'a-b-c'.rpartition('-')[2]}} {{'7'.zfill(3)}} {{'-7'.zfill(4)}}", "{{'a'.startswith('a')}} {{'ab'.endswith(('b','c'))}}",
    "{{(1,2)}} {{[(1,'a')]}}", "{% set x = n * 2 %}{{x}}", "{% set ns = namespace(a=0) %}{% for i in k %}{% set ns.a = ns.a + i %}{% endfor %}{{ns.a}}", "{{opts.items()|list}} {{opts.values()|list}}", "{{['A','B','C'][n-1]}} {{{'a': 1}['a']}}",
    "{%- if yes -%}  trimmed  {%- endif %} x", "a\n{% if yes %}\nb\n{% endif %}\nc\n", "{# comment #}x", "{{ '{{' }}", "{{s|trim|upper}} {{(s|trim).split(' ')|length}}", "{{[s.strip(), t]|join('\\n')}}", "{{w|wordcount}}", "{{w|regex_replace('[aeiou]+', '*')}} {{w|regex_replace('(q)(u)', '\\\\2-\\\\g<1>')}} {{'aaa'|regex_replace('a', 'b', 2)}} {{'ab'|regex_replace('', '-')}}", "{{'  x '|trim}}|{{'xyx'|trim('x')}}",
    "{{missing}}", "{{d.zzz}}", "{{l[9]}}", "{{t|nosuchfilter}}", "{{n.foo}}", "{{'a' + 1}}", "{{none + 1}}", "{{l.index('zz')}}", "{{e|first}}", "{{'a' ~ ('b' if no)}}", "{{not none}} {{-n}} {{+g}}", "{{0.1+0.2}}",
]


def main() -> None:
    found = []
    for template in TEMPLATES:
        try:
            text = apply_template(template, DOC)
        except Exception:
            text = None
        found.append({"template": template, "text": text})
    json.dump({"doc": DOC, "templates": found}, sys.stdout, ensure_ascii=True, indent=0)
    print()


main()
