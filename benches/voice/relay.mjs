// The relay that one would write first: a server and a client of `ws`, messages passed on unchanged.
import { WebSocket, WebSocketServer } from "ws";

const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: false });
server.on("listening", () => console.log(server.address().port));
server.on("connection", (caller) => {
  const bot = new WebSocket(process.argv[2], { perMessageDeflate: false });
  const early = [];
  caller.on("message", (data, binary) => {
    if (bot.readyState === WebSocket.OPEN) bot.send(data, { binary });
    else early.push([data, binary]);
  });
  bot.on("open", () => early.splice(0).forEach(([data, binary]) => bot.send(data, { binary })));
  bot.on("message", (data, binary) => caller.send(data, { binary }));
  for (const [one, other] of [[caller, bot], [bot, caller]]) {
    one.on("close", () => other.close());
    one.on("error", () => other.terminate());
  }
});
