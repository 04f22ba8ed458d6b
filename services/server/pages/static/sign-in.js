// Signs in with the token behind the # of the link that `convscout serve` prints; browsers send that part to nobody.
const token = new URLSearchParams(location.hash.slice(1)).get("token");
if (token) {
  history.replaceState(null, "", location.pathname + location.search);
  const form = document.getElementById("sign-in");
  form.elements.token.value = token;
  form.requestSubmit();
}
