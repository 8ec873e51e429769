-- wrk: POST an application of a random partner of a file (a token a line) with a random CPF of another; one line of JSON.
local tokens, cpfs, number = {}, {}, 0

function init(args)
  math.randomseed(os.time())
  for line in io.lines(args[1]) do tokens[#tokens + 1] = line end
  for line in io.lines(args[2]) do cpfs[#cpfs + 1] = line end
end

function request()
  number = number + 1
  return wrk.format("POST", "/api/partner/credit/cards/underwritings", {
    ["Host"] = wrk.headers["Host"],
    ["X-Partner-Auth"] = tokens[math.random(#tokens)],
    ["Content-Type"] = "application/json",
  }, '{"customerUuid":"c-' .. number .. '","cpf":"' .. cpfs[math.random(#cpfs)] ..
     '","costSavingEnabled":false,"srd":{"grossIncome":5200,"housingSpends":1200.5,"cardSpends":600,"loanSpends":0,' ..
     '"address":{"street":"Rua A","number":"10","complement":"","city":"Santos","state":"SP"},' ..
     '"occupation":"Company Employee","desiredCreditLimit":2000}}')
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"rate":%.3f,"p50":%.3f,"p99":%.3f,"failed":%d}\n',
    summary.requests / summary.duration * 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
