// Sends one call by node-taobao-topclient and prints the gateway's answer as one line of JSON.
// usage: node send.js URL APP_KEY APP_SECRET SESSION DTO [GET]
'use strict';

const { default: TopClient } = require('node-taobao-topclient');

const [url, appkey, appsecret, session, dto, verb] = process.argv.slice(2);
const client = new TopClient({ appkey, appsecret, REST_URL: url });
client
  .invoke('tmall.nrt.coupon.send', { session, nrt_coupon_send_dto: dto }, [], null, verb)
  .catch((err) => {
    if (err && err.name === 'TOPClientError') return err.data;
    throw err;
  })
  .then((answer) => console.log(JSON.stringify(answer)));
