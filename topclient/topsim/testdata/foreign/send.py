"""Sends one call by taobaopy and prints the gateway's answer as one line of JSON.

usage: python3 send.py URL APP_KEY APP_SECRET SESSION DTO
"""
import json
import sys

from taobaopy.taobao import DefaultAPIRequest, TaoBaoAPIClient, TaoBaoAPIError

url, app_key, app_secret, session, dto = sys.argv[1:]
client = TaoBaoAPIClient(app_key, app_secret)
# The methods of the client itself would put "taobao." before the name.
request = DefaultAPIRequest(url, client, {
    "method": "tmall.nrt.coupon.send", "session": session, "nrt_coupon_send_dto": dto,
})
try:
    answer = request.run()
except TaoBaoAPIError as err:
    answer = {"error_response": {"code": err.code, "msg": err.msg, "sub_code": err.sub_code}}
print(json.dumps(answer))
