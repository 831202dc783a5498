// What the server of a shop does, with @segment/analytics-node as it comes from npm. As segment_client.py:
// node segment_client.cjs URL KEY USER ITEM [ITEM ...]; NODE_PATH says where the package is.
const { Analytics } = require("@segment/analytics-node");

const [url, writeKey, user, ...items] = process.argv.slice(2);
const PREFIX = "crowd-";
const failures = [];

function shop(analytics) {
  const [first, second] = items;
  const context = { ip: "203.0.113.9", locale: "de-DE", location: { country: "DE" } };
  analytics.identify({ userId: user, anonymousId: `${user}-before`, traits: { email: "ada@shop.example" } });
  analytics.page({ userId: user, name: "Home", properties: { url: "https://shop.example/" } });
  analytics.track({ userId: user, event: "Product Viewed", properties: { product_id: first, price: "4.50" }, context });
  analytics.track({ userId: user, event: "Product Added", properties: { product_id: second, quantity: 2 } });
  analytics.screen({ userId: user, name: "Product", properties: { product_id: first } });
  analytics.track({ userId: user, event: "Newsletter Opened", properties: { issue: 7 } });
  analytics.group({ userId: user, groupId: "club", traits: { name: "Cheese lovers" } });
  analytics.alias({ userId: user, previousId: `${user}-before` });
  analytics.track({
    userId: user,
    event: "Order Completed",
    properties: {
      order_id: "1001",
      currency: "EUR",
      total: 13.5,
      products: [
        { product_id: first, price: 4.5, quantity: 1 },
        { product_id: second, price: 4.5, quantity: 2 },
      ],
    },
  });
}

async function main() {
  const analytics = new Analytics({ writeKey, host: url, flushAt: 100, flushInterval: 200 });
  analytics.on("error", (error) => failures.push(String(error.reason ?? error.code)));
  if (user.startsWith(PREFIX)) {
    for (let number = 0; number < Number(user.slice(PREFIX.length)); number++) {
      analytics.track({ userId: `${user}-${number}`, event: "Product Viewed", properties: { product_id: items[0] } });
    }
  } else {
    shop(analytics);
  }
  await analytics.closeAndFlush();
  console.log(JSON.stringify(failures));
}

main();
