# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""Kamailio takes the cluster for its rtpproxy: the media of a call crosses whichever server.

    x (caller, behind NAT) ── n1 ── r1 ──┐      ┌── s1, s2, s3: commands at the anycast address
    a (callee) ────────────────────┘     ├─ sw ─┤
    w (Kamailio) ─────────────── r2 ─────┘      └── d1, d2, d3: NATS      addresses: relays.py

Both user agents are sipp's; the callee returns the media that it gets.  Packets are counted by
the packet filters of both hosts.
"""

import json
import signal

import pytest

from cluster import ANYCAST
from lab import Lab, wait_until
from relays import HOST, PORTS, RelayNet

DOOR, SIP = 7722, 5060
KAMAILIO, CALLEE = HOST["w"][0], HOST["a"][0]

CALLER_SCENARIO = """<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="caller">
  <send retrans="500">
    <![CDATA[
      INVITE sip:callee@[remote_ip]:[remote_port] SIP/2.0
      Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch];rport
      From: <sip:caller@[local_ip]:[local_port]>;tag=[call_number]caller
      To: <sip:callee@[remote_ip]:[remote_port]>
      Call-ID: [call_id]
      CSeq: 1 INVITE
      Contact: <sip:caller@[local_ip]:[local_port]>
      Max-Forwards: 70
      Content-Type: application/sdp
      Content-Length: [len]

      v=0
      o=caller 53655765 2353687637 IN IP[local_ip_type] [local_ip]
      s=-
      c=IN IP[media_ip_type] [media_ip]
      t=0 0
      m=audio [rtpstream_audio_port] RTP/AVP 0
      a=rtpmap:0 PCMU/8000
    ]]>
  </send>
  <recv response="100" optional="true"/>
  <recv response="180" optional="true"/>
  <recv response="200" rrs="true"/>
  <send>
    <![CDATA[
      ACK [next_url] SIP/2.0
      Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch];rport
      [routes]
      From: <sip:caller@[local_ip]:[local_port]>;tag=[call_number]caller
      To: <sip:callee@[remote_ip]:[remote_port]>[peer_tag_param]
      Call-ID: [call_id]
      CSeq: 1 ACK
      Max-Forwards: 70
      Content-Length: 0
    ]]>
  </send>
  <nop><action><exec rtp_stream="SOUND,-1,0,PCMU/8000"/></action></nop>
  <pause milliseconds="DURATION"/>
  <nop><action><exec rtp_stream="pause"/></action></nop>
  <pause milliseconds="500"/>
  <send retrans="500">
    <![CDATA[
      BYE [next_url] SIP/2.0
      Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch];rport
      [routes]
      From: <sip:caller@[local_ip]:[local_port]>;tag=[call_number]caller
      To: <sip:callee@[remote_ip]:[remote_port]>[peer_tag_param]
      Call-ID: [call_id]
      CSeq: 2 BYE
      Max-Forwards: 70
      Content-Length: 0
    ]]>
  </send>
  <recv response="200"/>
</scenario>
"""

CALLEE_SCENARIO = """<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="callee">
  <recv request="INVITE" rrs="true"/>
  <send retrans="500">
    <![CDATA[
      SIP/2.0 200 OK
      [last_Via:]
      [last_Record-Route:]
      [last_From:]
      [last_To:];tag=[call_number]callee
      [last_Call-ID:]
      [last_CSeq:]
      Contact: <sip:[local_ip]:[local_port]>
      Content-Type: application/sdp
      Content-Length: [len]

      v=0
      o=callee 53655765 2353687637 IN IP[local_ip_type] [local_ip]
      s=-
      c=IN IP[media_ip_type] [media_ip]
      t=0 0
      m=audio [media_port] RTP/AVP 0
      a=rtpmap:0 PCMU/8000
    ]]>
  </send>
  <recv request="ACK"/>
  <recv request="BYE"/>
  <send>
    <![CDATA[
      SIP/2.0 200 OK
      [last_Via:]
      [last_From:]
      [last_To:]
      [last_Call-ID:]
      [last_CSeq:]
      Content-Length: 0
    ]]>
  </send>
</scenario>
"""


KAMAILIO_CONFIG = f"""#!KAMAILIO
debug=2
log_stderror=yes
fork=yes
children=2
listen=udp:{KAMAILIO}:{SIP}
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/"
loadmodule "sl.so"
loadmodule "tm.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "rtpproxy.so"
modparam("rtpproxy", "rtpproxy_sock", "udp:{ANYCAST[4]}:{DOOR}")
modparam("rtpproxy", "rtpproxy_tout", 1)
modparam("rtpproxy", "rtpproxy_retr", 1)

request_route {{
    force_rport();
    if (!mf_process_maxfwd_header("10")) exit;
    if (is_method("BYE")) rtpproxy_destroy();
    if (loose_route()) {{
        t_relay();
        exit;
    }}
    if (is_method("ACK")) exit;
    record_route();
    if (is_method("INVITE")) {{
        rtpproxy_offer();
        t_on_reply("MEDIA");
    }}
    $ru = "sip:callee@{CALLEE}:{SIP}";
    t_relay();
}}

onreply_route[MEDIA] {{
    if (has_body("application/sdp")) rtpproxy_answer();
}}
"""


@pytest.fixture(scope="module")
def net():
    with Lab("rtpproxy") as lab:
        yield RelayNet(lab).start(Relay_RTPProxy=f"{ANYCAST[4]}:{DOOR}",
                                  Relay_RTPProxyAllow=KAMAILIO)


def count_media(node):
    """Counters of the media that the node sends to the anycast address, and gets from it."""
    node.nft(f"""
        table inet media {{
            counter sent {{}}
            counter got {{}}
            chain out {{
                type filter hook output priority 0;
                ip daddr {ANYCAST[4]} udp dport {PORTS} counter name sent
            }}
            chain in {{
                type filter hook input priority 0;
                ip saddr {ANYCAST[4]} udp sport {PORTS} counter name got
            }}
        }}""")


def media(node):
    """(packets sent, packets got)"""
    listed = json.loads(node.run("nft", "-j", "list", "counters"))["nftables"]
    packets = {c["counter"]["name"]: c["counter"]["packets"] for c in listed if "counter" in c}
    return packets["sent"], packets["got"]


def start_kamailio(net):
    config = net.lab.write("kamailio.cfg", KAMAILIO_CONFIG)
    process = net.w.spawn("kamailio", "kamailio", "-DD", "-E", "-f", config, "-m", 32, "-M", 8,
                          "-Y", net.lab.directory, "-P", net.lab.path("kamailio.pid"))
    wait_until(lambda: net.w.listens(SIP, "udp"), "Kamailio to listen")
    return process


def doors(net):
    """Commands that each living server's door has had."""
    return {d.name: d.status()["relay"]["rtpproxy"]["commands"] for d in net.daemons
            if d.process.alive()}


def call(net, seconds):
    """The caller's and the callee's sipp, on their way."""
    sound = net.lab.write("sound.ulaw", "\x7f" * 8000)
    scenario = CALLER_SCENARIO.replace("SOUND", sound).replace("DURATION", str(int(seconds * 1000)))
    callee = net.a.spawn("sipp-callee", "sipp", "-sf",
                         net.lab.write("callee.xml", CALLEE_SCENARIO), "-i", CALLEE, "-p", SIP,
                         "-mi", CALLEE, "-mp", 6000, "-rtp_echo", "-nostdin", "-m", 1)
    wait_until(lambda: net.a.listens(SIP, "udp"), "the callee to listen")
    caller = net.x.spawn("sipp-caller", "sipp", f"{KAMAILIO}:{SIP}", "-sf",
                         net.lab.write("caller.xml", scenario), "-i", "10.1.0.2", "-p", SIP, "-mi",
                         "10.1.0.2", "-mp", 6000, "-nostdin", "-m", 1, "-r", 1)
    return caller, callee


def test_call_survives_its_server(net):
    """The server that set the call's media up is killed; media and BYE go on by way of the others."""
    kamailio = start_kamailio(net)
    for node in (net.x, net.a):
        count_media(node)
    asked = doors(net)
    caller, callee = call(net, 12)
    wait_until(lambda: media(net.x)[1] > 50, "media to come back to the caller", 20)
    now = doors(net)
    door = max(now, key=lambda name: now[name] - asked[name])
    assert len(relays(net)) >= 1
    victim = next(d for d in net.daemons if d.name == door)
    net.kill(victim)
    before = media(net.x)[1]
    wait_until(lambda: media(net.x)[1] > before + 100, "media after the death of its server", 20)
    assert caller.wait(60) == 0, caller.log()
    assert callee.wait(20) == 0, callee.log()
    (sent, got), (returned, heard) = media(net.x), media(net.a)
    print(f"\n{door} set the call up and was killed; x sent {sent}, a got {heard} and returned "
          f"{returned}, x got {got}")
    assert sent > 300 and sent - heard <= 25 and returned - got <= 10
    net.revive()
    wait_until(lambda: not relays(net), "the call's relay to be gone after its BYE")
    kamailio.stop(signal.SIGTERM)


def relays(net):
    living = next(d for d in net.daemons if d.process.alive())
    return json.loads(living.ask("relays", "--json"))["relays"]
