// Finds the route of a request: by the third part of its path ("", "v1", "friends"), then one template after the other.
import HTTPTypes

struct RouteTable: Sendable {
    private let routes: [Substring: [Route]]

    init(_ routes: [Route]) {
        self.routes = Dictionary(grouping: routes) { route in
            guard route.path.segments.count > 2, case .fixed(let text) = route.path.segments[2] else {
                preconditionFailure("a route's path is /v1/ and a name, and then whatever it likes")
            }
            return Substring(text)
        }
    }

    /// HEAD is what GET is (RFC 9110 section 9.3.2); whoever answers leaves the body out.
    func find(_ method: HTTPRequest.Method, _ path: String) throws(APIError) -> (Route, [String: Substring]) {
        let wanted = method == .head ? .get : method
        let parts = path.split(separator: "/", omittingEmptySubsequences: false)
        var allowed: [HTTPRequest.Method] = []
        for route in parts.count > 2 ? routes[parts[2]] ?? [] : [] {
            guard let parameters = route.path.match(parts) else { continue }
            if route.method == wanted { return (route, parameters) }
            let names = route.method == .get ? [.get, .head] : [route.method]
            allowed += names.filter { !allowed.contains($0) }
        }
        throw allowed.isEmpty ? .noSuchPath : .methodNotAllowed(allowed: allowed)
    }
}
