// Asks for GraphiQL with a token, which only a script can send along, and puts it in place of this page.
"use strict";

(() => {
  const form = document.querySelector("form");
  const answer = document.getElementById("answer");
  const button = form.querySelector("button");
  const refusals = {
    401: "This token is not known here, or it has expired.",
    403: "Here GraphiQL is for administrators who are bound to no owner.",
    503: "It cannot be looked up just now. Try again in a moment.",
  };

  async function open(authorization) {
    const response = await fetch(location.href, { headers: { accept: "text/html", authorization } });
    if (!response.ok) return refusals[response.status] ?? `The server answers ${response.status}.`;
    const page = await response.text();
    window.carillonAuthorization = authorization; // for boot.js: it is gone when the page is
    document.open();
    document.write(page);
    document.close();
    return "";
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    answer.textContent = "";
    try {
      answer.textContent = await open(`Bearer ${form.token.value.trim()}`);
    } catch {
      answer.textContent = "The server cannot be reached, or this cannot be a token.";
    }
    button.disabled = false;
  });
  button.disabled = false; // not before: the browser would send the form
})();
