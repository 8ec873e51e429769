-- wrk: POST /v1/score with a random question of a file (token, lender, retailer a line); prints one line of JSON.
local requests = {}

function init(args)
  math.randomseed(os.time())
  for line in io.lines(args[1]) do
    local token, lender, retailer = line:match("([^\t]+)\t([^\t]+)\t([^\t]+)")
    requests[#requests + 1] = wrk.format("POST", "/v1/score", {
      ["Host"] = wrk.headers["Host"],
      ["Authorization"] = "Bearer " .. token,
      ["X-Client-ID"] = lender,
      ["Content-Type"] = "application/json",
      ["Accept-Language"] = "en-IN,en;q=0.9",
    }, '{"retailer_id":"' .. retailer .. '","purpose":"working_capital_loan","requested_limit_inr":50000}')
  end
end

function request()
  return requests[math.random(#requests)]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"rate":%.3f,"p50":%.3f,"p99":%.3f,"failed":%d}\n',
    summary.requests / summary.duration * 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
